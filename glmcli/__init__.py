"""The version, and what the start and the command line share: nothing to import."""

__version__ = "0.1.0"

COMPLETION = "_GLM_COMPLETE"
"""The variable by which a shell asks what may come next: the protocol of Typer's completion."""
