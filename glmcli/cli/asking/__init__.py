"""What a turn of `glm ask` and `glm chat` is made of: files, a long text, the form of its reply."""
