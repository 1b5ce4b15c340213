"""Conversations side by side: what a net has read of each, and which one a prompt goes on with."""
