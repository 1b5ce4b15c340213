"""The decoder of our own, used where it is proven equal to transformers'."""
