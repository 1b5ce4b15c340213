"""Where kept models are found: a private folder of sockets, one for each key.

A key stands for all that makes two loaded models different, so that nobody meets a wrong one.
Knows nothing of what is said over a socket.
"""

from __future__ import annotations

import os
import stat
import sys
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple

from glmcli import __version__
from glmcli.config import BUILT_IN_MODEL, Settings
from glmcli.config.known import cached_snapshot
from glmcli.config.models import ModelOptions
from glmcli.config.place import runtime_folders, variables_of_nets
from glmcli.engines import split_name
from glmcli.language import chinese_locale, tr
from glmcli.paths import absolute, without_links

SOCKET, LOCK, LOG = ".sock", ".lock", ".log"
SOCKET_BYTES = 100
"""Bytes of a socket's path; systems take 104 or 108, with a zero at the end."""
KEY_DIGITS = 16


class KeptPlace(NamedTuple):
    """The files of one kept model, there or not."""

    folder: Path
    key: str

    @property
    def socket(self) -> Path:
        """Where it listens."""
        return self.folder / (self.key + SOCKET)

    @property
    def lock(self) -> Path:
        """Locked from before it begins to listen until its process is gone. It stays."""
        return self.folder / (self.key + LOCK)

    @property
    def log(self) -> Path:
        """What its process had to say; never what it was asked."""
        return self.folder / (self.key + LOG)


def folder_here() -> Path | None:
    """The private folder, if there is one: the first that `folder_to_use` would use."""
    for folder in runtime_folders():
        if is_private(folder):
            return folder
        if (
            takes_sockets(folder)
            and not os.path.lexists(folder)
            and os.access(folder.parent, os.W_OK)
        ):
            return None  # nothing was kept yet where it would be
    return None


def takes_sockets(folder: Path) -> bool:
    """Whether the path of a socket in it is not too long."""
    return len(os.fsencode(folder)) + 1 + KEY_DIGITS + len(SOCKET) <= SOCKET_BYTES


def folder_to_use() -> Path:
    """The first folder that is private, or can be made so. Raises OSError with what is wrong."""
    problem = OSError(0, "", "")
    for folder in runtime_folders():
        if not takes_sockets(folder):
            problem = OSError(0, tr("the path of a socket would be too long"), str(folder))
            continue
        try:
            with suppress(FileExistsError):
                folder.mkdir(mode=0o700)
        except OSError as exc:
            problem = exc
            continue
        if is_private(folder):
            return folder
        problem = PermissionError(0, tr("others may use it"), str(folder))
    raise problem


def is_private(folder: Path) -> bool:
    """Whether a folder is there, is the user's own, and nobody else's."""
    try:
        found = os.lstat(folder)
    except OSError:
        return False
    is_own = stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()
    return is_own and not found.st_mode & 0o077


def all_places() -> list[KeptPlace]:
    """The places where something listens, or did until it was killed."""
    folder = folder_here()
    if folder is None:
        return []
    with suppress(OSError), os.scandir(folder) as entries:
        names = sorted(each.name for each in entries if each.name.endswith(SOCKET))
        return [KeptPlace(folder, name.removesuffix(SOCKET)) for name in names]
    return []


def kept_key(settings: Settings, folder: Path | None) -> str:
    """The key of the model that the settings choose, whose files are in `folder`."""
    import hashlib
    import json

    adapter = Path(settings.adapter).expanduser() if settings.adapter else None
    facts = [
        __version__,
        sys.prefix,
        chinese_locale(),
        [stamp(Path(place)) for place in sys.path if place.endswith("-packages")],
        variables_of_nets(),
        load_values(settings),
        [(str(without_links(Path(each))), file_stamps(each)) for each in (folder, adapter) if each],
    ]
    whole = json.dumps(facts, default=str).encode("utf-8", "backslashreplace")
    return hashlib.sha256(whole).hexdigest()[:KEY_DIGITS]


def load_values(settings: Settings) -> dict[str, Any]:
    """The settings that decide how a model is loaded; paths are those of any folder."""
    names = {item.name for item in fields(ModelOptions)} & {item.name for item in fields(Settings)}
    values = {name: getattr(settings, name) for name in sorted(names - {"offline"})}
    if settings.adapter:
        values["adapter"] = str(absolute(Path(settings.adapter).expanduser()))
    values["cache"] = str(absolute(settings.cache))
    values["model"] = model_anywhere(settings)
    return values


def model_anywhere(settings: Settings) -> str:
    """The model as the settings name it; a folder by its whole path."""
    engine, name = split_name(settings.model)
    if engine != "local" or name == BUILT_IN_MODEL:
        return settings.model
    folder = model_folder(settings)
    is_id = cached_snapshot(name, Path()) is not None
    return name if is_id or folder is None else str(absolute(folder))


def model_folder(settings: Settings) -> Path | None:
    """The folder of a model that is loaded here; None if it has none, or is not here yet.

    Raises ModelError for a name that means no model.
    """
    engine, name = split_name(settings.model)
    if engine != "local":
        return None
    if name == BUILT_IN_MODEL:
        folder = settings.cache / "models" / BUILT_IN_MODEL
    elif name.startswith("/"):
        folder = Path(name)
    else:
        known = cached_snapshot(name, Path())
        folder = known if known is not None and known.is_dir() else Path()
    if folder != Path() and folder.is_dir():
        return folder
    from glmcli.models.names import place_of  # takes as long as all else

    return place_of(name, settings.model_options).folder


def file_stamps(folder: Path) -> list[tuple[str, int, int]]:
    """Name, size and time of every file of a folder: another one stands for another model."""
    found = []
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            with suppress(OSError):
                if entry.is_file():
                    seen = entry.stat()
                    found.append((entry.name, seen.st_size, seen.st_mtime_ns))
    return sorted(found)


def stamp(path: Path) -> int:
    """When something was put into a folder last, or taken out of it."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0
