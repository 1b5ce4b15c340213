"""A model behind an address."""

import sys

# Where rich is installed httpx imports it for a command line of its own: half of the time it takes.
sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]
