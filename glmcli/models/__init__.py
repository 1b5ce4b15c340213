"""Model files on this machine. Knows nothing of torch."""
