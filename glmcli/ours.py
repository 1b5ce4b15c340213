"""Files that this program writes: whole or not at all, and never somewhere else than was named.

A symbolic link in the place of a file is not followed, nor one among the folders of a relative path
that leads out of the working folder, which may be anybody's. Modes are changed only on files of the
user's own. Knows nothing of what the files hold.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from glmcli.errors import StoreError, UsageError
from glmcli.files import kind
from glmcli.language import tr
from glmcli.paths import is_folder, is_something, without_links

SILENT_S, LOCK_WAIT_S, LOCK_TICK_S = 1.0, 10.0, 0.02
"""How long another's lock is waited for without a word, and at all, and how often it is tried."""


def write_file(path: Path, text: str, *, overwrite: bool) -> Path:
    """Write a file wholly or not at all; returns its absolute path.

    Raises UsageError if it exists and may not be overwritten, is a symbolic link, or lies behind
    one that leads out of the working folder; StoreError if the disk is full or so.
    """
    folder = without_links(path.parent)
    if (
        not path.is_absolute()
        and ".." not in path.parts
        and not folder.is_relative_to(without_links(Path()))
    ):
        raise UsageError(
            tr("{name} lies behind a link that leads to {target}", name=path, target=folder),
            tr("name a file there by its full path, or another"),
        )
    path = folder / path.name
    if is_folder(path):
        raise StoreError(
            tr("{name} is a folder", name=path),
            tr("name a file in it: {name}", name=path / "talk.md"),
        )
    if not is_folder(folder):
        raise StoreError(
            tr("{name} cannot be written: {folder} is no folder", name=path, folder=folder),
            tr("make it first, or choose another folder"),
        )
    if os.path.islink(path):  # noqa: PTH114
        raise UsageError(
            tr("{name} is a symbolic link to {target}", name=path, target=path.readlink()),
            tr("name that file itself, or another"),
        )
    if not overwrite and os.path.lexists(path):
        raise UsageError(tr("{name} already exists", name=path), tr("choose another name"))
    mode = None
    with suppress(OSError):
        mode = stat.S_IMODE(path.stat().st_mode)
    # Lone surrogates as \udcff: they are not UTF-8, and JSON reads that back.
    replace_file(path, text.encode("utf-8", "backslashreplace"), mode)
    return path


def write_private(path: Path, text: str) -> None:
    """Write a file of the user's own that nobody else reads, wholly or not at all.

    A link that they have put there leads to the file. Raises StoreError.
    """
    path = without_links(path)
    found = path.stat() if os.path.lexists(path) else None
    if found is not None:
        check_own_file(path, found)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as exc:
        raise not_written(path, exc, own=True) from exc
    replace_file(path, text.encode("utf-8"), 0o600, own=True)


@contextmanager
def one_at_a_time(
    path: Path, say: Callable[[str], object], *, wait_s: float = LOCK_WAIT_S
) -> Iterator[None]:
    """Keep others that do the same from the file, from before it is read until it is written.

    The lock is on its folder, which is made if it is missing; that it waits for another's is said
    after SILENT_S. Where the system has no locks it goes on without. Raises StoreError, also after
    `wait_s` seconds.
    """
    folder = without_links(path).parent
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as exc:
        raise not_written(path, exc, own=True) from exc
    try:
        lock_folder(handle, folder, say, wait_s)
        yield
    finally:
        os.close(handle)


def lock_folder(handle: int, folder: Path, say: Callable[[str], object], wait_s: float) -> None:
    """Lock an open folder: see `one_at_a_time`. Raises StoreError."""
    began, has_said = time.monotonic(), False
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            waited = time.monotonic() - began
        except OSError:
            return
        if waited >= wait_s:
            raise StoreError(
                tr("another program keeps {name} locked", name=folder),
                tr("end it, then try again; fuser -v {name} shows which it is", name=folder),
            )
        if waited >= SILENT_S and not has_said:
            say(tr("waiting for another program that has {name} locked", name=folder))
            has_said = True
        time.sleep(LOCK_TICK_S)


def replace_file(path: Path, data: bytes, mode: int | None, *, own: bool = False) -> None:
    """Put a file with this content, and these rights if they are given, in the place of another.

    Raises StoreError: see `not_written`.
    """
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                if mode is not None:
                    os.fchmod(file.fileno(), mode)
                os.fsync(file.fileno())
            Path(temporary).replace(path)  # a link that was made meanwhile is replaced
            sync_folder(path.parent)
        finally:
            Path(temporary).unlink(missing_ok=True)
    except OSError as exc:
        raise not_written(path, exc, own=own) from exc


def not_written(path: Path, exc: OSError, *, own: bool = False) -> StoreError:
    """The error to raise for a file that the system does not let be written.

    The folder of an `own` one is where GLM_HOME says; for others the user has named it.
    """
    hint = tr("set GLM_HOME to another folder") if own else tr("choose another folder")
    if exc.errno in (errno.ENOSPC, errno.EDQUOT):
        hint = tr("free some space, or {another}", another=hint)
    elif exc.errno in (errno.EACCES, errno.EPERM):
        hint = tr("check who may write to {folder}, or {another}", folder=path.parent, another=hint)
    return StoreError(
        tr("{name} cannot be written: {reason}", name=path, reason=exc.strerror), hint
    )


def sync_folder(folder: Path) -> None:
    """Make a rename last through a power loss, where the system can."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            os.fsync(handle)
    finally:
        os.close(handle)


def is_first_today(path: Path, *, keep: bool = True) -> bool:
    """Whether this is asked for the first time today, as the file remembers; `keep` the answer."""
    with suppress(OSError):
        if time.localtime(path.stat().st_mtime)[:3] == time.localtime()[:3]:
            return False
    if not keep:
        return True
    with suppress(OSError, StoreError):
        handle = open_private(path)
        try:
            os.utime(handle)
        finally:
            os.close(handle)
    return True


def is_first(path: Path) -> bool:
    """Whether nobody asked this before, which the file remembers; no where it cannot."""
    if os.path.lexists(path):
        return False
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    except OSError:
        return False
    return True


def open_private(path: Path) -> int:
    """A descriptor of a file that only its owner reads, made if it is missing; for appending.

    A link that the user has put there leads to the file. Raises StoreError if that is not a regular
    file or is another user's, OSError.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    flags = os.O_CREAT | os.O_APPEND | os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK
    handle = os.open(path, flags, 0o600)
    try:
        check_own_file(path, os.fstat(handle))
    except BaseException:
        os.close(handle)
        raise
    return handle


def check_own_file(path: Path, found: os.stat_result) -> None:
    """Raise StoreError for what is not a regular file, or is another user's."""
    if not stat.S_ISREG(found.st_mode):
        raise StoreError(
            tr("{name} is {kind}, not a file", name=path, kind=kind(found.st_mode)),
            tr("move it away"),
        )
    if found.st_uid != os.geteuid():
        raise StoreError(
            tr("{name} belongs to another user", name=path),
            tr("move it away, or set GLM_HOME"),
        )


def make_private(handle: int) -> None:
    """Let nobody but the owner read the file. Raises OSError."""
    mode = stat.S_IMODE(os.fstat(handle).st_mode)
    if mode & 0o077:
        os.fchmod(handle, mode & 0o700)


def check_place(path: Path) -> None:
    """Raise StoreError if something else is in the place of the history's folder, or the history is
    a link to a file that is not there.
    """
    if is_something(path.parent) and not is_folder(path.parent):
        raise StoreError(
            tr("GLM_HOME is not a folder: {name}", name=path.parent),
            tr("set GLM_HOME to a folder, or move that file away"),
        )
    if os.path.islink(path) and not is_something(path):  # noqa: PTH114
        raise StoreError(
            tr(
                "{path} is a link to {target}, which is not there",
                path=path,
                target=path.readlink(),
            ),
            tr("bring that file back, or delete the link"),
        )
