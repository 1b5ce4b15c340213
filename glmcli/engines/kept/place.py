"""Where kept models are found: a private folder of sockets, one for each key.

A key stands for all that makes two loaded models different, so that nobody meets a wrong one.
Knows nothing of what is said over a socket.
"""

from __future__ import annotations

import json
import os
import stat
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, NamedTuple

from glmcli import __version__
from glmcli.config import BUILT_IN_MODEL, Settings
from glmcli.config.known import cached_snapshot
from glmcli.config.models import AUTO, BITS
from glmcli.config.place import runtime_folders, variables_of_nets
from glmcli.engines import split_name
from glmcli.language import tr
from glmcli.paths import is_file, is_folder, with_home, without_links

SOCKET, LOCK, LOG, ABOUT = ".sock", ".lock", ".log", ".json"
SOCKET_BYTES = 100
"""Bytes of a socket's path; systems take 104 or 108, with a zero at the end."""
KEY_DIGITS, MARK_DIGITS = 16, 8
VERSION, ENVIRONMENT, FILES, ADAPTER = "version", "environment", "files", "adapter"
LoadMarks = Mapping[str, str]
"""See `marks_of`."""
_APART = "-"
OWN_CODE = Path(__file__).parents[2]
INSTALLED = "-packages"
"""The end of the names of folders that installers put code into: there a folder's time tells it."""
_MOST_ABOUT = 1 << 16


class KeptPlace(NamedTuple):
    """The files of one kept model, there or not."""

    folder: Path
    key: str

    @property
    def model_key(self) -> str:
        """The key of the model, of which there may be another copy in a place beside this one."""
        return self.key.partition(_APART)[0]

    def beside(self, pid: int) -> KeptPlace:
        """The place of another copy of the same model, that of a process."""
        return self._replace(key=f"{self.model_key}{_APART}{pid}")

    @property
    def pid(self) -> int | None:
        """The process whose place it is, None for that of whoever comes first."""
        number = self.key.partition(_APART)[2]
        return int(number) if number.isdecimal() else None

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

    @property
    def about(self) -> Path:
        """Which model it is, and of which process, for where that does not say so itself."""
        return self.folder / (self.key + ABOUT)


def write_about(place: KeptPlace, model: str, pid: int, made: LoadMarks | None = None) -> None:
    """Write down which process keeps which model at a place, and of what it was made, if there is
    room on the disk.
    """
    with suppress(OSError), os.fdopen(open_file(place.about, os.O_WRONLY | os.O_CREAT), "w") as out:
        out.truncate()
        json.dump({"model": model, "pid": pid, "made": made or {}}, out)


def read_about(place: KeptPlace) -> dict[str, Any]:
    """Which model and process `write_about` wrote; an empty one if that cannot be read."""
    match _written(place):
        case {"model": str(model), "pid": int(pid)}:
            return {"model": model, "pid": pid}
    return {}


def read_marks(place: KeptPlace) -> LoadMarks:
    """Of what it was made as `write_about` wrote; nothing if that cannot be read."""
    match _written(place):
        case {"made": dict(made)}:
            return {str(name): str(mark) for name, mark in made.items()}
    return {}


def _written(place: KeptPlace) -> Any:
    with suppress(OSError, ValueError), os.fdopen(open_file(place.about, os.O_RDONLY)) as file:
        return json.loads(file.read(_MOST_ABOUT))
    return None


def is_locked_by(place: KeptPlace, lock: int) -> bool:
    """Whether a lock that is held is that of a place, whose files are then its owner's to remove.

    Where the folder was removed meanwhile it is not: another process may have the place.
    """
    with suppress(OSError):
        return os.path.samestat(place.lock.stat(), os.fstat(lock))
    return False


def open_file(path: Path, flags: int) -> int:
    """A descriptor of a file of ours; what else is there is never waited for. Raises OSError."""
    fd = os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
    if stat.S_ISREG(os.fstat(fd).st_mode):
        return fd
    os.close(fd)
    raise OSError(0, "", str(path))


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
    """The places where something listens, or did until it was killed.

    All folders are looked into: which can be used may be another one next time.
    """
    found = []
    for folder in filter(is_private, runtime_folders()):
        with suppress(OSError), os.scandir(folder) as entries:
            names = sorted(each.name for each in entries if each.name.endswith(SOCKET))
            found += [KeptPlace(folder, name.removesuffix(SOCKET)) for name in names]
    return found


def kept_key(settings: Settings, folder: Path | None) -> str:
    """The key of the model that the settings choose, whose files are in `folder`."""
    return _mark(load_facts(settings, folder), KEY_DIGITS)


def marks_of(settings: Settings, folder: Path | None) -> LoadMarks:
    """A mark for each of the facts in the key, that tells whether it is the same."""
    facts = load_facts(settings, folder)
    return {name: _mark(fact, MARK_DIGITS) for name, fact in facts.items()}


def load_facts(settings: Settings, folder: Path | None) -> dict[str, Any]:
    """All that makes two loaded models different: the settings of loading by their names, with
    the files of the adapter; FILES, VERSION, ENVIRONMENT.
    """
    values = load_values(settings)
    code = [stamp(Path(place)) for place in sys.path if place.endswith(INSTALLED)]
    return {
        **values,
        ADAPTER: values[ADAPTER] and files_in(Path(values[ADAPTER])),
        FILES: folder and files_in(folder),
        VERSION: [__version__, sys.prefix, code, code_stamp(OWN_CODE)],
        ENVIRONMENT: variables_of_nets(),
    }


def _mark(facts: Any, digits: int) -> str:
    import hashlib

    whole = json.dumps(facts, default=str).encode("utf-8", "backslashreplace")
    return hashlib.sha256(whole).hexdigest()[:digits]


def kept_keys(settings: Settings, folder: Path | None, *, least: str = BITS[-1]) -> list[str]:
    """The keys of the model in each of the bits in which it may be, the most exact first.

    Where they are left to us, these are all down to `least`.
    """
    all_bits = [settings.quantize]
    if chooses_bits(settings):
        all_bits = [*BITS[: BITS.index(least) + 1]]
    return [kept_key(replace(settings, quantize=bits), folder) for bits in all_bits]


def chooses_bits(settings: Settings) -> bool:
    """Whether it is left to the free memory in how many bits the model is."""
    return settings.quantize == AUTO and split_name(settings.model)[0] == "local"


def code_stamp(folder: Path) -> tuple[int, int]:
    """How much code is in a folder and below, and of when, unless an installer put it there."""
    if folder.parent.name.endswith(INSTALLED):
        return 0, 0
    count = times = 0
    folders = [os.fspath(folder)]
    while folders:
        with suppress(OSError), os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.name.endswith(".py"):
                    count, times = count + 1, times + entry.stat().st_mtime_ns
                elif "." not in entry.name and entry.name != "__pycache__" and entry.is_dir():
                    folders.append(entry.path)
    return count, times


def load_values(settings: Settings) -> dict[str, Any]:
    """The settings that decide how a model is loaded; paths are those of any folder."""
    from glmcli.config.models import ModelOptions

    names = {item.name for item in fields(ModelOptions)} & {item.name for item in fields(Settings)}
    values = {name: getattr(settings, name) for name in sorted(names - {"offline"})}
    if settings.adapter:
        values[ADAPTER] = str(without_links(with_home(settings.adapter)))
    values["cache"] = str(without_links(settings.cache))
    values["model"] = model_anywhere(settings)
    return values


def model_anywhere(settings: Settings) -> str:
    """The model as the settings name it; a folder by its one path, however it was spelt."""
    engine, name = split_name(settings.model)
    if engine == "gguf":
        from glmcli.models.gguf.finding import lasting_gguf

        return lasting_gguf(name)
    if engine != "local" or name == BUILT_IN_MODEL:
        return settings.model
    folder = model_folder(settings)
    is_id = cached_snapshot(name, Path()) is not None
    return name if is_id or folder is None else str(without_links(folder))


def model_folder(settings: Settings) -> Path | None:
    """The folder, or file, of a model that is loaded here; None for no such, or not here yet.

    Raises ModelError for a name that means no model.
    """
    engine, name = split_name(settings.model)
    if engine == "gguf":
        from glmcli.models.builtin import built_in_gguf
        from glmcli.models.gguf.finding import find_gguf

        options = settings.model_options
        is_fetched = name != BUILT_IN_MODEL or is_file(built_in_gguf(options.cache))
        return find_gguf(name, options).path if is_fetched else None
    if engine != "local":
        return None
    if name == BUILT_IN_MODEL:
        folder = settings.cache / "models" / BUILT_IN_MODEL
    elif name.startswith("/"):
        folder = Path(name)
    else:
        known = cached_snapshot(name, Path())
        folder = known if known is not None and is_folder(known) else Path()
    if folder != Path() and is_folder(folder):
        return folder
    from glmcli.models.names import place_of  # takes as long as all else

    return place_of(name, settings.model_options).folder


def files_in(folder: Path) -> tuple[str, list[tuple[str, int, int]]]:
    """Where a file or a folder is, and its stamps."""
    return str(without_links(folder)), file_stamps(folder)


def file_stamps(folder: Path) -> list[tuple[str, int, int]]:
    """Name, size and time of a file, or every file of a folder: others are another model."""
    found = []
    if not is_folder(folder):
        with suppress(OSError):
            seen = folder.stat()
            found.append((folder.name, seen.st_size, seen.st_mtime_ns))
        return found
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
