"""Replies as they arrive: as text, on a terminal, for machines."""
