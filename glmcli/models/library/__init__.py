"""The models on this machine: which there are, what they need, fetching and removing them."""
