"""How a bug of this program is told: what its error holds may be anything, a file with keys too.

Every key that has been read is masked, and no more is shown than says which error it is.
"""

from __future__ import annotations

import os

from glmcli.config import wants_traceback
from glmcli.config.values import READ_SECRETS
from glmcli.errors import GlmError
from glmcli.harmless import visible
from glmcli.language import tr

_LONGEST = 300
"""Characters of an error that are shown."""
_MASKED_CHARS = 4_000
"""Characters of it that are looked at: a key that begins in what is shown ends in there."""
_LONGEST_LINE = 1_000
"""The same of a line of a traceback."""
_VARIABLES = ("GLM_API_KEY", "OPENAI_API_KEY")


def internal_error(exc: BaseException) -> GlmError:
    """The error to tell of an exception that nobody expected."""
    hint = "" if wants_traceback() else tr("GLM_DEBUG=1 shows where")
    # Of a text that cannot be encoded its repr shows all, its words only where.
    shown = f"{type(exc).__name__}({str(exc)!r})" if isinstance(exc, UnicodeError) else repr(exc)
    shown = without_keys(shown[:_MASKED_CHARS])
    if len(shown) > _LONGEST:
        shown = f"{shown[:_LONGEST]}…"
    return GlmError(tr("internal error: {error}", error=shown), hint)


def traceback_of(exc: BaseException) -> str:
    """Where an error came from, harmless for a terminal, without keys."""
    import traceback

    lines = "".join(traceback.format_exception(exc)).split("\n")
    shown = (without_keys(line[:_MASKED_CHARS])[:_LONGEST_LINE] for line in lines)
    return visible("\n".join(shown))


def without_keys(text: str) -> str:
    """A text without any key that this process has read."""
    from glmcli.engines.remote.masking import Mask

    return Mask({*READ_SECRETS, *(os.environ.get(name, "") for name in _VARIABLES)})(text)
