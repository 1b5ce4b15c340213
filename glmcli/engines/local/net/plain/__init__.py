"""Nets of transformers, read as their own `generate` reads them."""
