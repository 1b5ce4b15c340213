"""What a turn of `glm ask` and `glm chat` is made of: its files, and the form of its reply."""
