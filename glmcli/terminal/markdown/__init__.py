"""Markdown as rows of a terminal, streamed and at once alike."""
