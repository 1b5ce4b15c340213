"""What a server says where it refuses: found in its answer, and understood."""
