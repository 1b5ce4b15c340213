"""Weights in few bits: how they are rounded, kept on disk, and multiplied with."""
