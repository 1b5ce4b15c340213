"""What is said: as files, and as what fits a model's window."""
