"""What the user decided about the `.env` of folders: trusted or not, each for one content.

Kept in a file of the user's own data folder. Knows nothing of settings, nor of who is asked.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from glmcli import files
from glmcli.errors import ConfigError, GlmError, StoreError, UsageError
from glmcli.language import tr
from glmcli.ours import one_at_a_time, replace_file
from glmcli.paths import without_links

_NAME = "trusted.json"
_LARGEST = 4_000_000


@dataclass(frozen=True, slots=True)
class Decisions:
    """All that was decided: for each `.env` the digests of contents, and which are trusted."""

    path: Path
    """The file that they are kept in."""
    made: Mapping[str, Mapping[str, bool]] = field(default_factory=dict)

    def about(self, dotenv: Path, data: bytes) -> bool | None:
        """Whether this content is trusted in this place; None if nobody was asked yet."""
        return self.made.get(real_path(dotenv), {}).get(digest(data))

    def with_answer(self, dotenv: Path, data: bytes, *, trusted: bool) -> Decisions:
        """The decisions with one more."""
        name = real_path(dotenv)
        contents = {**self.made.get(name, {}), digest(data): trusted}
        return Decisions(self.path, {**self.made, name: contents})

    def without(self, dotenv: Path) -> Decisions:
        """The decisions without those about one `.env`. Raises UsageError if there are none."""
        name = real_path(dotenv)
        if name not in self.made:
            raise UsageError(
                tr("nothing was decided about {name}", name=name),
                tr("glm config trusted lists what was decided")
                if self.made
                else tr("glm config trust [FOLDER] decides"),
            )
        return Decisions(self.path, {key: made for key, made in self.made.items() if key != name})

    def save(self) -> None:
        """Write them for their owner alone; a link is replaced. Raises ConfigError."""
        text = json.dumps({"folders": self.made}, indent=1, ensure_ascii=True)
        with kept():
            replace_file(self.path, text.encode("ascii"), 0o600)


@contextmanager
def kept() -> Iterator[None]:
    """Make an error of a file that cannot be written one of what is decided. Raises ConfigError."""
    try:
        yield
    except StoreError as exc:
        raise ConfigError(
            tr("what is trusted cannot be kept: {why}", why=exc.message),
            exc.hint,
        ) from exc


def decide(
    home: Path, dotenv: Path, data: bytes, say: Callable[[str], object], *, trusted: bool
) -> None:
    """Keep one more decision in the data folder `home`, whoever else does; that it waits for them
    is said. Raises ConfigError.
    """
    path = home / _NAME
    with kept(), one_at_a_time(path, say):
        load_decisions(home).with_answer(dotenv, data, trusted=trusted).save()


def forget(home: Path, dotenv: Path, say: Callable[[str], object]) -> None:
    """Forget what was decided about one `.env`. Raises UsageError, ConfigError."""
    path = home / _NAME
    load_decisions(home).without(dotenv)  # raises: there is nothing to be written then
    with kept(), one_at_a_time(path, say):
        load_decisions(home).without(dotenv).save()


def load_decisions(home: Path) -> Decisions:
    """What was decided, as kept in the data folder `home`.

    A file that another could have written, or that is not what `save` writes, decides nothing.
    """
    path = home / _NAME
    try:
        with files.open_regular(path, limit=_LARGEST) as file:
            found = os.fstat(file.fileno())
            if found.st_uid != os.getuid() or found.st_mode & 0o077:
                return Decisions(path)
            data = file.read(_LARGEST)
        return Decisions(
            path, checked(files.parse_json(files.decode_text(data, str(path)), str(path)))
        )
    except (GlmError, OSError):
        return Decisions(path)


def checked(value: Any) -> dict[str, dict[str, bool]]:
    """The part of a JSON value that is decisions."""
    folders = value.get("folders") if isinstance(value, dict) else None
    found = folders if isinstance(folders, dict) else {}
    return {
        name: {key: answer for key, answer in contents.items() if isinstance(answer, bool)}
        for name, contents in found.items()
        if isinstance(contents, dict)
    }


def real_path(dotenv: Path) -> str:
    """The one name of a `.env`, however its folder was reached. It may be a link itself."""
    return str(Path(without_links(dotenv.parent), dotenv.name))


def digest(data: bytes) -> str:
    """What tells a content from every other."""
    import hashlib

    return hashlib.sha256(data).hexdigest()
