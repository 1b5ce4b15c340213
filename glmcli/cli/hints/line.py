"""One command line while it is put right, and as it is typed."""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import chain
from typing import Any

from glmcli.cli.hints.elsewhere import EACH, OPTIONS_ELSEWHERE, WHY
from glmcli.cli.hints.taking import flags_of, value_flags
from glmcli.cli.hints.tree import arity, command_at
from glmcli.config.values import plain_signs
from glmcli.language import tr

LONGEST_WORD = 300
"""Characters of a word that are repeated."""
LONGEST_SHOWN = 600
SHORT, SHORT_NEAR = 5, 0.8
"""A shorter word has to be nearer."""
NEAR = 0.7
"""How much of a word must be that of another, to be a slip for it."""
OF_ARGUMENTS = ("--file", "--id", "--name", "--query", "--words", "--model", "-m")
"""Options elsewhere for what is an argument here."""
_NUMBER = re.compile(r"-[0-9.]+")
_KEY_NAME = re.compile(r"-.*(?:key|(?<!max-)(?<!max_)token|secret|passw)", re.IGNORECASE)
_KEY = re.compile(r"bearer|authori|(?:key|token)[=:]|\b(?:sk|hf|gh[pos])[-_]", re.IGNORECASE)


def typed_line(words: Sequence[str]) -> str:
    """A command line as it is typed, its long words cut, and the whole if it is long."""
    head, *rest = words
    rest = [word if len(word) <= LONGEST_WORD else f"{word[:LONGEST_WORD]}…" for word in rest]
    line = " ".join([head, *map(shlex.quote, rest)])
    return line if len(line) <= LONGEST_SHOWN else f"{line[:LONGEST_SHOWN]}…"


def filled(hint: str, words: Sequence[str]) -> str:
    """Lines of a table with the words that were typed in the place of their signs."""
    typed = " ".join(map(shlex.quote, words))
    if not any(not word.startswith("-") for word in words):
        return hint
    parts = (re.sub(r"( [A-Z]+)+$", lambda _: f" {typed}", part) for part in hint.split("; "))
    return "; ".join(parts) if hint.startswith("glm ") else hint


def tidied(words: Sequence[str], commands: Collection[str]) -> list[str]:
    """A line without slips of blanks: `--x = 1`, `--x= 1`, `- m`, and a command that is joined to
    what is behind it, as `ask--model` or `ask"why not"`.
    """
    words, right = [*words], list[str]()
    words[0] = plain_signs(words[0]) if plain_signs(words[0]) in commands else words[0]
    joined = re.fullmatch(
        rf"({'|'.join(commands)})(-.*|\S* .*|(?<=ask)\w{{4,}})", words[0], re.DOTALL
    )
    if joined and words[0] not in commands:
        words[:1] = joined.groups()
    for at, word in enumerate(words):
        before, after = right[-1] if right else "", words[at + 1] if words[at + 1 :] else ""
        if word == "--":
            return [*right, *words[at:]]
        if before == "-" and re.fullmatch("[a-zA-Z]", word) and after:
            right[-1] = f"-{word}"
        elif re.fullmatch("--?[a-z][a-z-]*=", word) and after[:1] not in ("", "-"):
            right.append(word[:-1])
        elif word != "=" or not before.startswith("-") or not after:
            right.append(word)
    return right


def nearest_word(word: str, names: Collection[str], cutoff: float = NEAR) -> str:
    """The name that a word is a slip for; two letters in the wrong order are one."""
    from difflib import get_close_matches

    cutoff = max(cutoff, SHORT_NEAR) if len(word) < SHORT else cutoff
    for name in names:
        if sorted(name) == sorted(word):
            return name
    near = get_close_matches(word, names, n=1, cutoff=cutoff)
    return near[0] if near else ""


@dataclass
class MeantLine:
    """What a command line is made of, in the order in which it was typed."""

    command: Any
    path: str
    """Its names, from `glm` on."""
    items: list[str | list[str]] = field(default_factory=list)
    """Words, and options with their values."""
    told: list[str] = field(default_factory=list)
    """What is to be said beside the line."""
    left_out: list[str] = field(default_factory=list)
    """What of the typed has no place in it."""
    before: str = ""
    """What stands before it for the shell."""
    after: str = ""
    """What stands behind it."""
    other: list[str] = field(default_factory=list)
    """The commands that are meant in place of this one."""
    last: list[str] = field(default_factory=list)
    """Words that belong behind the others."""
    revision: str = ""
    """That of a model, which is typed behind its name."""
    lacking: str = ""
    """An option that is right and has no value."""
    needs_server: bool = False
    """Whether a model of a server is meant, if no model is named."""
    model: str = ""
    """What a request calls that."""
    is_form: bool = False
    """Whether signs stand in it for words that it lacks."""
    has_taken: bool = False
    """Whether a wrong option took a word that may have been the question."""

    @property
    def flags(self) -> list[str]:
        """The options of the command."""
        return flags_of(self.command)

    @property
    def takers(self) -> dict[str, Any]:
        """Those that take a value."""
        return value_flags(self.command)

    @property
    def words(self) -> list[str]:
        """The words; others in their place begin where they began."""
        return [item for item in self.items if isinstance(item, str)]

    @words.setter
    def words(self, words: Sequence[str]) -> None:
        at = next((n for n, item in enumerate(self.items) if isinstance(item, str)), None)
        at = len(self.items) if at is None else at
        rest = [item for item in self.items[at:] if not isinstance(item, str)]
        self.items = [*self.items[:at], *words, *rest]

    @property
    def options(self) -> list[list[str]]:
        """The options with their values."""
        return [item for item in self.items if not isinstance(item, str)]

    @property
    def given(self) -> set[str]:
        """The names of those."""
        return {item[0] for item in self.options}

    def add(self, *option: str) -> None:
        """An option with its value; one that stands there already counts once."""
        flag = option[0]
        is_same = len(option) == 1 and [flag] in self.items
        if not is_same:
            self.items.append([*option])

    def leave_out(self, *words: str, why: str = "") -> None:
        """Some words have no place in the line; what may be a key is not repeated."""
        first, *rest = words
        is_key = any(map(_KEY.search, words)) or is_key_name(first) or why == reason("!KEY")
        rest = [] if is_key else [*map(shlex.quote, rest)]
        self.left_out.append(" ".join([first.partition("=")[0] if is_key else first, *rest]))
        why = why or (reason("!KEY") if is_key else "")
        if why and why not in self.told:
            self.told.append(why)

    def take_out(self, *flags: str) -> list[str]:
        """Take the options of these names out; returns their values."""
        taken = [item for item in self.options if item[0] in flags]
        self.items = [item for item in self.items if item not in taken]
        return [item[-1] for item in taken]

    def typed(self) -> list[str]:
        """All of it, without the `glm`."""
        items = ([item] if isinstance(item, str) else item for item in self.items)
        return [*self.path.split()[1:], *chain.from_iterable(items)]


def nearest_flag(name: str, line: MeantLine) -> str:
    """The flag that a wrong one is a slip for, short for, or longer than; "" if there is none."""
    flags: Collection[str] = [each for each in [*line.flags, "--help"] if each.startswith("--")]
    bare = name.lstrip("-").replace("_", "-").lower()
    name = f"--{bare}"
    if name in flags:
        return name
    if name.startswith("--no-"):
        flags = [flag for flag in flags if flag.startswith("--no-")]
    starts = [flag for flag in flags if len(name) > 3 and flag.startswith(name)]
    longer = [flag for flag in flags if name.startswith(f"{flag}-")]
    ending = [flag for flag in flags if name.endswith(f"-{flag[2:]}")]
    for found in (starts, longer, ending):
        if len(found) == 1:
            return found[0]
    near = nearest_word(bare, sorted(flag[2:] for flag in flags)) if bare[2:] else ""
    return f"--{near}" if near else ""


@cache
def names_table(text: str) -> dict[str, dict[str, str]]:
    """A text of `elsewhere`: each of its headings -> names -> what stands behind the `=`."""
    rows, headings = dict[str, dict[str, str]](), [dict[str, str]()]
    for line in text.strip().splitlines():
        names, equals, known = line.partition(" =")
        for heading in headings if equals else ():
            heading[names] = known.strip()
        if not equals:
            headings = [rows.setdefault(each, {}) for each in line.strip("[]").split(", ")]
    return rows


@cache
def elsewhere(path: str) -> Mapping[str, tuple[str, bool]]:
    """The names of options elsewhere -> what one is here, and whether it takes a value."""
    known = dict[str, tuple[str, bool]]()
    for key, here in names_table(OPTIONS_ELSEWHERE).get(path, {}).items():
        names = [word for word in key.split() if word.startswith("-")]
        known.update(dict.fromkeys(names, (here, not key.split()[-1].startswith("-"))))
    return known


def known_elsewhere(name: str, path: str) -> tuple[str, bool] | None:
    """What an option of another program is for a command; None for an unknown one."""
    if path.startswith("glm history ") and name in ("--last", "--latest") and "list" not in path:
        return "=last", False
    if found := elsewhere(path).get(name):
        return found
    if (
        name in OF_ARGUMENTS
        and path.count(" ") > 1
        and arity(command_at(path.split()[1:]))[1] in (1, None)
    ):
        return "X", True
    bare = name.lstrip("-")
    for form in (name, f"--{bare.replace('_', '-').lower()}", f"-{bare}" if not bare[1:] else name):
        if found := elsewhere(path).get(form) or elsewhere("glm *").get(form):
            return found
    return None


def reason(known: str) -> str:
    """Why something is left out, in the user's language."""
    return tr(WHY[known[1:]]) if known else ""


def of_each(words: Sequence[str]) -> str:
    """How all conversations are deleted; or, behind an option for some, that there is none."""
    known = elsewhere("glm history delete")
    chosen = any(known.get(word.partition("=")[0], ("",))[0] == "!AGES" for word in words)
    return tr(WHY["AGES"] if chosen else EACH)


def is_key_name(option: str) -> bool:
    """Whether an option is called as those for keys are."""
    return bool(_KEY_NAME.match(option))


def words_in(rest: Sequence[str]) -> int:
    """How many words there are before the next option."""
    return next((at for at, word in enumerate(rest) if is_option(word)), len(rest))


def is_option(word: str) -> bool:
    """Whether a word is an option rather than a value."""
    return word[:1] == "-" and word != "-" and not _NUMBER.fullmatch(word)
