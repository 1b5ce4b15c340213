"""Roles: a system prompt, or a frame for what the user says, with settings, under a name.

Each is a file NAME.md in the folder `roles` beside the user's own config.toml, or built in; the
folder that the program is run in has none. Knows nothing of sessions.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from glmcli import files
from glmcli.config import setting_fields, whole_own_config
from glmcli.config.files import nearest
from glmcli.config.values import parsed
from glmcli.errors import ConfigError, UsageError
from glmcli.harmless import quoted
from glmcli.language import tr
from glmcli.types import GenerationParams

SAMPLING = tuple(item.name for item in fields(GenerationParams))
ROLE_SETTINGS = ("model", *SAMPLING, "context", "thinking", "plain", "width", "stats")
"""What a role may set: who answers and how, not where anything is kept or sent."""
BUILT_IN_ROLES = {
    "shell": """\
---
temperature: 0
---
You write commands for a POSIX shell.
Answer with one command that does what is asked, in a single code block marked sh, and nothing else.
If it would delete or overwrite something, put one sentence that says so below the block.
""",
    "commit": """\
---
temperature: 0.2
---
Write the commit message for the change below.
First a subject in the imperative, at most 60 characters, without a full stop. If the reason is not
plain from that, leave a line empty and give it in one to three sentences. Answer with the message
alone.

$input
""",
    "reviewer": """\
---
temperature: 0.3
---
You review code with care.
Look for mistakes first: wrong results, cases that are forgotten, resources that stay open, input
that is trusted too far. Name the line, say what goes wrong and how to mend it, the worst first.
Leave style alone unless it hides a mistake. If you find nothing, say that.
""",
}
NEW_ROLE = """\
---
# temperature: 0.2
---
You are …
"""
"""What a role begins with that is not there yet."""
LEAST_FRAME = 4
"""Fewer letters around what the user says may be anybody's."""
NO_ROLE = "off"
"""What ends a role in a chat, so that none can have this name."""
_NAME = re.compile(r"\w[\w-]{0,63}")
_INPUT = re.compile(r"\$input\b")
_EDGE = "---"


@dataclass(frozen=True, slots=True)
class NamedRole:
    """A role as it was read."""

    name: str
    text: str = ""
    """A system prompt; with `$input` in it, what is sent, the user's text in that place."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Some of ROLE_SETTINGS, each in its type."""

    @property
    def system(self) -> str | None:
        """The system prompt; None if it has none."""
        return None if not self.text or _INPUT.search(self.text) else self.text

    def framed(self, text: str) -> str:
        """What the user says, as it is sent."""
        if not _INPUT.search(self.text):
            return text
        return _INPUT.sub(lambda place: text, self.text)

    def unframed(self, sent: str) -> str:
        """What the user said of a text with `$input` as it was sent; "" if that is not known."""
        first, *others = _INPUT.split(self.text)
        size = (len(sent) - len(first) - sum(map(len, others))) // max(len(others), 1)
        said = sent[len(first) :][: max(size, 0)]
        return said if others and self.framed(said) == sent else ""


def roles_folder() -> Path:
    """Where the user's own roles lie, there or not. Raises ConfigError."""
    return whole_own_config().parent / "roles"


def role_path(name: str) -> Path:
    """The file of a role of this name, there or not. Raises UsageError, ConfigError."""
    if not _NAME.fullmatch(name) or name == NO_ROLE:
        raise UsageError(
            tr("{name} cannot be the name of a role", name=quoted(name)),
            tr("use letters, digits, - and _; not off"),
        )
    return roles_folder() / f"{name}.md"


def role_text(name: str) -> tuple[str, Path | None]:
    """What a role is written as, and its file; None for one that is built in.

    Raises UsageError if there is none of this name, ConfigError if the file cannot be read.
    """
    path = role_path(name)
    if os.path.lexists(path):
        return files.read_text(path, limit=files.MB, error=ConfigError), path
    if name in BUILT_IN_ROLES:
        return BUILT_IN_ROLES[name], None
    names = role_names()
    near = nearest(name, names)
    raise UsageError(
        tr("there is no role {name}", name=name),
        "" if near else tr("one of: {names}", names=", ".join(names)),
        meant=(name, near) if near else None,
    )


def load_role(name: str) -> NamedRole:
    """The role of this name. Raises UsageError, ConfigError."""
    text, path = role_text(name)
    return parse_role(text, path or Path(f"{name}.md"))


def framing_role(text: str) -> str:
    """The role with `$input` whose words stand around what the user said; "" if there is none."""
    for name in role_names():
        with suppress(ConfigError, UsageError):
            head, *others = _INPUT.split(load_role(name).text)
            tail = others[-1] if others else ""
            is_known = len(head.strip()) + len(tail.strip()) >= LEAST_FRAME
            if others and is_known and text.startswith(head) and tail in text[len(head) :]:
                return name
    return ""


def framing_roles() -> list[NamedRole]:
    """The roles with `$input`, as they are now; those that can be read."""
    found = []
    with suppress(ConfigError):
        for name in role_names():
            with suppress(ConfigError, UsageError):
                found.append(load_role(name))
    return [role for role in found if _INPUT.search(role.text)]


def role_names() -> list[str]:
    """All names, sorted. Raises ConfigError."""
    return sorted(name for name in _all_names() if _NAME.fullmatch(name) and name != NO_ROLE)


def _all_names() -> set[str]:
    """Those too that no role can have."""
    names = {*BUILT_IN_ROLES}
    with suppress(OSError):
        names |= {file.stem for file in roles_folder().iterdir() if file.suffix == ".md"}
    return names


def why_no_roles() -> str:
    """A line on the folder of roles, if there is something that cannot be listed; else ""."""
    folder = roles_folder()
    try:
        next(folder.iterdir(), None)
    except FileNotFoundError:
        pass
    except OSError as exc:
        return tr("{name} cannot be read: {reason}", name=folder, reason=exc.strerror)
    return ""


def about_roles() -> Iterator[tuple[str, str, Path | None]]:
    """Of each role its name, the first line of its text or what is wrong, and its file if any."""
    for name in role_names():
        path = None
        try:
            text, path = role_text(name)
            about = parse_role(text, path or Path(name)).text.partition("\n")[0]
        except ConfigError as exc:
            path = role_path(name)
            about = exc.message.removeprefix(str(path)).lstrip(",: ")
        yield name, about, path
    for name in sorted(_all_names() - {*role_names()}):
        why = tr("no role can have this name: use letters, digits, - and _; not off")
        yield name, why, roles_folder() / f"{name}.md"


def parse_role(text: str, path: Path) -> NamedRole:
    """The role in a text: settings between two lines of ---, if any, and below them the rest.

    Raises ConfigError with the line that is wrong.
    """
    lines = text.splitlines()
    settings: dict[str, Any] = {}
    if lines and lines[0].rstrip() == _EDGE:
        edges = [at for at, line in enumerate(lines) if line.rstrip() == _EDGE]
        if len(edges) < 2:
            raise ConfigError(
                tr("{path}, line 1: the settings have no end", path=path),
                tr("put a line --- below them"),
            )
        for number, line in enumerate(lines[1 : edges[1]], start=2):
            if line.strip() and not line.lstrip().startswith("#"):
                where = tr("{path}, line {number}", path=path, number=number)
                name, value = parse_setting(line, where)
                if name in settings:
                    raise ConfigError(
                        tr("{where}: {name} is set twice", where=where, name=name),
                        tr("keep one of the lines"),
                    )
                settings[name] = value
        lines = lines[edges[1] + 1 :]
    body = "\n".join(lines).strip()
    if "\0" in body:
        raise ConfigError(tr("{path} holds a NUL character", path=path), tr("is it a binary file?"))
    return NamedRole(path.stem, body, settings)


def parse_setting(line: str, where: str) -> tuple[str, Any]:
    """The name and the value of a line NAME: VALUE. Raises ConfigError."""
    typed, colon, raw = (part.strip() for part in line.partition(":"))
    if not colon or not typed or not raw:
        raise ConfigError(
            tr("{where}: {line} is not NAME: VALUE", where=where, line=quoted(line.strip())),
            tr("for example temperature: 0.2"),
        )
    name = typed.replace("-", "_").lower()
    if name not in ROLE_SETTINGS:
        near = nearest(name, ROLE_SETTINGS)
        if name == "system":
            hint = tr("the text below the settings is the system prompt")
        elif near and name not in setting_fields():
            hint = tr("did you mean {near}?", near=near)
        else:
            hint = tr("one of: {names}", names=", ".join(ROLE_SETTINGS))
        raise ConfigError(tr("{where}: a role cannot set {name}", where=where, name=typed), hint)
    if len(raw) > 1 and raw[0] == raw[-1] and raw[0] in "\"'":
        raw = raw[1:-1]
    item = setting_fields()[name]
    return name, parsed(raw, str(item.type), label=f"{where}: {name}", rules=item.metadata)
