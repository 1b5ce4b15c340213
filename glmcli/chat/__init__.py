"""The shell: a person and a session, on a terminal or in a pipe."""
