"""What is pressed, before a prompt reads it: keys, the lines they will be, answers to questions."""
