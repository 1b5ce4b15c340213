"""A FastChat controller and its workers."""
