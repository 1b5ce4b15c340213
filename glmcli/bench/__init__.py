"""What `glm bench` measures and prints."""
