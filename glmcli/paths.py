"""Paths and texts from a user: a typed name becomes a path, and a file becomes text.

Knows nothing of what the text is for.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from glmcli import files
from glmcli.errors import UsageError
from glmcli.language import tr

LARGEST_PROMPT = 10 * files.MB
"""Bytes; far more than any window holds."""
LARGEST_MESSAGE = 32 * files.MB
"""Bytes of a message, of a file that goes with one, and of stdin: more than any window holds."""
_QUOTED = re.compile(r"""(["'])(.+)\1""")
_ESCAPED = re.compile(r"\\(.)")


def path_of(typed: str) -> Path:
    r"""The path that was typed: `~` as the home folder, and quotes and `\ ` as in a shell.

    Raises UsageError for what cannot be one, such as a home folder of an unknown user, or nothing.
    """
    if not typed:
        raise UsageError(
            tr("the name of a file or folder is empty"),
            tr("is a variable of your shell not set? . is the working folder"),
        )
    if re.match("https?://", typed):
        url = re.sub("//[^/@]*@", "//", typed)  # it may hold a password
        raise UsageError(
            tr("{url} is an address, not a file", url=url),
            tr('no page is fetched here: curl -s ADDRESS | glm ask "sum this up"'),
        )
    if "\0" in typed:
        raise UsageError(tr("a path cannot hold a NUL character"), tr("check the path"))
    quoted = _QUOTED.fullmatch(typed)
    name = quoted[2] if quoted else typed
    if not quoted and "\\" in name and not os.path.lexists(name):
        name = _ESCAPED.sub(r"\1", name)
    try:
        return Path(name).expanduser()
    except RuntimeError as exc:
        raise UsageError(
            tr("{name}: there is no such home folder", name=name), tr("check the path")
        ) from exc


def absolute(path: Path) -> Path:
    """The same path from the root. Raises UsageError if the folder that it starts from is gone."""
    with _from_here(path):
        return path.absolute()


def without_links(path: Path) -> Path:
    """The same place without links, there or not. Raises UsageError as `absolute` does."""
    with _from_here(path):
        return Path(os.path.realpath(path))


@contextmanager
def _from_here(path: Path) -> Iterator[None]:
    """Translate what the system says where a relative path starts. Raises UsageError."""
    try:
        yield
    except FileNotFoundError as exc:
        raise UsageError(
            tr("{name}: the working folder was deleted", name=files.printable(path)),
            tr("give a full path, or go to another folder first"),
            in_chat=tr("give a full path"),
        ) from exc


def check_apart(read: int, written: int, name: str) -> None:
    """Raise UsageError if prompts are read line by line from the file that answers are added to:
    each answer would be the next prompt, without end. `name` is what people call what is written.
    """
    if stat.S_ISREG(os.fstat(written).st_mode) and os.path.sameopenfile(read, written):
        raise UsageError(
            tr("{name} is the file with the prompts", name=name),
            tr("name another one: answers are added to it"),
        )


def short_model(model: str) -> str:
    """A model for a list that people read: a folder's last part, one of a server by its name."""
    if model.startswith("/"):
        return Path(model).name or model
    return split_address(model)[0]


def split_address(model: str) -> tuple[str, str]:
    """A model as a conversation has it, as its name and the address of its server; "" for none."""
    name, _, url = model.partition(" ")
    is_at_address = name.startswith(("openai:", "fastchat:"))
    is_at_address = is_at_address and url.startswith(("http://", "https://"))
    return (name, url) if is_at_address else (model, "")


def with_home(name: str) -> Path:
    """The path of a name, with `~` as the home folder where there is one; raises nothing."""
    with suppress(ValueError):
        return Path(os.path.expanduser(name))  # noqa: PTH111
    return Path(name)


# Path's own raise OSError for a name that is too long, and behind a folder that is locked.
def is_file(path: Path) -> bool:
    """Whether there is a file that can be reached, whatever the name is."""
    return os.path.isfile(path)  # noqa: PTH113


def is_folder(path: Path) -> bool:
    """The same of a folder."""
    return os.path.isdir(path)  # noqa: PTH112


def is_something(path: Path) -> bool:
    """The same of a file, a folder or whatever else."""
    return os.path.exists(path)  # noqa: PTH110


def check_prompt(text: str) -> None:
    """Raise UsageError if `text` cannot be a prompt: if it is blank, or not text."""
    if not text.strip():
        raise UsageError(
            tr("the prompt is empty"), tr('type a question: glm ask "why is the sky blue?"')
        )
    if "\0" in text:
        raise UsageError(tr("the prompt holds a NUL character"), tr("is it a binary file?"))
    check_utf8(text, tr("the prompt is not valid UTF-8"))
    if is_too_large(text):
        raise UsageError(
            tr(
                "{name} is too large: {limit:,} bytes is the limit",
                name=tr("the prompt with its files"),
                limit=LARGEST_MESSAGE,
            ),
            tr("send a part of it"),
        )


def is_too_large(text: str) -> bool:
    """Whether a text is larger than a message ever is."""
    enough = len(text) > LARGEST_MESSAGE // 4  # characters have four bytes at most
    return enough and len(text.encode("utf-8", "surrogatepass")) > LARGEST_MESSAGE


def check_utf8(text: str, line: str) -> None:
    """Raise UsageError, which says `line`, for what an argument had that is no text."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as exc:
        raise UsageError(line, tr("convert it, for example with iconv")) from exc


def link_target(path: Path) -> str:
    """The place that a path leads to by a link, its own or that of a folder; "" without one."""
    real = str(without_links(path))
    return "" if real == os.path.normpath(absolute(path)) else real


def link_line(path: Path) -> str:
    """What a person is told of a file that they name, if a link leads elsewhere; else ""."""
    target = link_target(path)
    return tr("{name} is a link to {target}", name=path, target=target) if target else ""


def system_file(system: str) -> Path | None:
    """The file that a system prompt is to be read from, if it is `@FILE`. Raises UsageError."""
    return path_of(system[1:]) if system.startswith("@") else None


def system_as_word(system: str, way: str = "-s {file}") -> str:
    """What to say of a system prompt that is the name of a file and not its text; "" for others.

    `way` is how a file is named in its place.
    """
    is_name = re.search(r"\w\.\w|/", system) and system[0] != "@" and system.isprintable()
    if not is_name or not is_file(Path(os.path.expanduser(system))):  # noqa: PTH111 (never raises)
        return ""
    line = way.format(file=f"@{system}" if " " not in system else "@FILE")
    return tr(
        "{name} is the system prompt as a word; {line} reads the file", name=system, line=line
    )


def read_system(system: str) -> str:
    """The system prompt; `@FILE` stands for the file's text. Raises UsageError."""
    path = system_file(system)
    if path is None:
        check_utf8(system, tr("the system prompt is not valid UTF-8"))
        return system
    try:
        return files.read_text(path, limit=LARGEST_PROMPT, what=tr("the system prompt")).strip()
    except UsageError as exc:
        if isinstance(exc.__cause__, FileNotFoundError) and not exc.meant:
            exc.hint = tr("behind @ stands the path of a file; without the @ it is the text itself")
        raise
