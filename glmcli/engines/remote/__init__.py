"""A model behind an address."""
