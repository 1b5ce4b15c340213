"""How fast a model answers, and how exact it is in fewer bits."""
