"""What shells complete: the words, and how each shell is told them."""
