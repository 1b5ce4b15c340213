"""The user's language: English sentences stand where they are said, others in catalogues.

Beside config.py the only module that reads the environment. Does not know the sentences. The
catalogues are `locale/*/LC_MESSAGES/glm.po`, compiled when the program is installed; docs/texts.py
keeps them complete.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextvars import ContextVar
from functools import cache

from glmcli.harmless import in_a_line, with_fields

TYPE_CHECKING = False  # as typing has it: importing that takes longer than `glm --help`
if TYPE_CHECKING:
    from gettext import NullTranslations

FOLDER = __file__.removesuffix("language.py") + "locale"
FIRST_CHINESE = "\u2e80"
_BLANK = "\ufdd0"
"""Stands for a blank beside a field; no text holds this character."""
_VARIABLES = ("LC_ALL", "LC_MESSAGES", "LANG")
"""Which of them is set first names the locale, as for any program."""

_CHINESE: ContextVar[bool | None] = ContextVar("chinese", default=None)
"""What whoever is answered asked for; None: what the locale says."""


def chinese_locale(environ: Mapping[str, str] | None = None) -> bool:
    """Whether messages are wanted in Chinese. LANGUAGE goes before the locale, unless that is C."""
    environ = os.environ if environ is None else environ
    chosen = next((environ[name] for name in _VARIABLES if environ.get(name)), "")
    if chosen.partition(".")[0] not in ("C", "POSIX"):
        chosen = environ.get("LANGUAGE") or chosen
    return chosen.lower().startswith("zh")


def is_chinese() -> bool:
    """Whether messages are in Chinese here: for whoever is answered, else by the locale."""
    chosen = _CHINESE.get()
    return chinese_locale() if chosen is None else chosen


def answer_in(chinese: object) -> None:
    """Have messages of this thread, and of what is asked on it, be in Chinese or in English."""
    _CHINESE.set(chinese if isinstance(chinese, bool) else None)


def tr(english: str, /, **values: object) -> str:
    """A sentence in the user's language, its {fields} with_fields in. A literal brace is doubled.

    It is one harmless line: fields hold names that others chose. "" stays so in every language:
    to gettext it is the name of the catalogue's own header.
    """
    if english and is_chinese():
        return in_a_line(filled_in(catalogue("zh_CN").gettext(english), values))
    return in_a_line(with_fields(english, values)) if values else english.format()


def ntr(one: str, many: str, n: int, /, **values: object) -> str:
    """The same for what is counted: `{n}` is the number, and chooses the sentence."""
    values["n"] = n
    if is_chinese():
        return in_a_line(filled_in(catalogue("zh_CN").ngettext(one, many, n), values))
    return in_a_line(with_fields(one if n == 1 else many, values))


def bytes_phrase(n: int) -> str:
    """A size: "1 byte", "2,000 bytes"."""
    return ntr("{n:,} byte", "{n:,} bytes", n)


def filled_in(text: str, values: Mapping[str, object]) -> str:
    """A Chinese sentence with its fields; the blanks beside one stand only next to Latin letters.

    What is in a field stays as it is.
    """
    text = text.replace(" {", f"{_BLANK}{{").replace("} ", f"}}{_BLANK}")
    text = with_fields(text, values)
    head, *pieces = text.split(_BLANK)
    for piece in pieces:
        is_chinese = head[-1:] >= FIRST_CHINESE and piece[:1] >= FIRST_CHINESE
        head += piece if is_chinese else f" {piece}"
    return head


def in_one_line(*sentences: str) -> str:
    """Sentences in one line; an empty one is left out, and nothing stands behind a question."""
    said = ""
    for each in filter(None, sentences):
        said += f" {each}" if said[-1:] in ("?", "？") else tr("; ") + each if said else each
    return said


def later(english: str) -> str:
    """A sentence of a table, as it is: whoever shows it passes it through `tr`."""
    return english


def verbatim(text: str) -> str:
    """A text that is said already, for where one for `tr` is expected: it comes out as it is."""
    return text.replace("{", "{{").replace("}", "}}")


@cache
def catalogue(language: str) -> NullTranslations:
    """The compiled catalogue of a language; English where it was not compiled."""
    import gettext

    return gettext.translation("glm", FOLDER, [language], fallback=True)
