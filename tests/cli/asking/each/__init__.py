"""`glm ask --each`."""
