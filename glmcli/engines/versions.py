"""Which versions of transformers can be used, told before any of it is imported.

Knows nothing of models.
"""

from __future__ import annotations

from glmcli.messages import refusal

OLDEST, TOO_NEW = 5, 6
"""Major versions: the first that loads weights in the way used here, and the first untested one."""


def check_transformers() -> None:
    """Raise ModelError if transformers is missing, too old or too new."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        installed = version("transformers")
    except PackageNotFoundError:
        raise refusal("no-transformers") from None
    major = installed.partition(".")[0]
    if not major.isdigit() or not OLDEST <= int(major) < TOO_NEW:
        raise refusal("transformers-version", installed=installed)
