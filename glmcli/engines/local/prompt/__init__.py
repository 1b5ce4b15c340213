"""From messages to ids, and from ids to text. Knows nothing of torch."""
