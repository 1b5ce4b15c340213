"""What processes that are alive hold: replies that they write, and the chat that each is on.

Knows nothing of the database.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path

ID_LETTERS = "0123456789abcdefghjkmnpqrstvwxyz"
"""Of the ids of conversations, Crockford's base 32: no letter looks like another."""
_FLAGS = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


class Claims:
    """The claims of one process, and a look at those of others.

    A claim is a locked file beside the database. The lock goes when its process does, however it
    ends, so no process number can be mistaken for another's.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._held: dict[int, int] = {}
        self._chats = -1
        """The open file of which each chat that is open has a byte locked, by its id's number."""
        self._chat = ""

    def __contains__(self, reply_id: object) -> bool:
        """Whether this very store is writing the reply."""
        return reply_id in self._held

    def all(self) -> set[int]:
        """The replies that are claimed, perhaps by a process that has ended. Raises OSError."""
        start = f"{self._path.name}-turn-"
        ends = [path.name.removeprefix(start) for path in self._path.parent.glob(f"{start}*")]
        return {int(end) for end in ends if end.isdecimal()}

    def take(self, reply_id: int) -> None:
        """Say that this process writes a reply; only inside a transaction. Raises OSError."""
        handle = os.open(self._file(reply_id), _FLAGS | os.O_CREAT, 0o600)
        self._held[reply_id] = handle
        with suppress(OSError):  # some network disks know no locks
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def release(self, reply_id: int) -> None:
        """Say that a reply is complete."""
        handle = self._held.pop(reply_id, None)
        if handle is not None:
            with suppress(OSError):
                self._file(reply_id).unlink(missing_ok=True)
            os.close(handle)

    def release_all(self) -> None:
        """Let go of every claim."""
        for reply_id in list(self._held):
            self.release(reply_id)
        if self._chats >= 0:
            with suppress(OSError):  # another process is on a chat
                fcntl.lockf(self._chats, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self._chats_file().unlink(missing_ok=True)
            self._close_chats()

    def occupy(self, name: str) -> bool:
        """Say that this process is on a chat, and on no other; False if another process was.

        The chat is given by its id. Raises OSError if the claim cannot be made.
        """
        if name == self._chat:
            return True
        if self._chats < 0:
            self._chats = os.open(self._chats_file(), _FLAGS | os.O_CREAT, 0o600)
        if self._chat:
            fcntl.lockf(self._chats, fcntl.LOCK_UN, 1, number_of(self._chat))
            self._chat = ""
        alone = True
        try:
            fcntl.lockf(self._chats, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, number_of(name))
        except (BlockingIOError, PermissionError):
            alone = False
        # All that are on a chat share its byte: the last of them is still seen.
        fcntl.lockf(self._chats, fcntl.LOCK_SH, 1, number_of(name))
        self._chat = name
        if self._is_removed():  # by one that left in the meantime: another would not see this claim
            self._close_chats()
            return self.occupy(name)
        return alone

    def is_elsewhere(self, name: str) -> bool:
        """Whether another process is on a chat, given by its id; False if that cannot be known.

        A file that was opened anew to look would, once closed, take this process's own claim away.
        """
        is_own, number = name == self._chat, number_of(name)
        try:
            handle = self._chats if self._chats >= 0 else os.open(self._chats_file(), _FLAGS)
        except OSError:
            return False
        try:
            fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, number)
            fcntl.lockf(handle, fcntl.LOCK_SH if is_own else fcntl.LOCK_UN, 1, number)
        except (BlockingIOError, PermissionError):
            return True
        except OSError:  # some network disks know no locks
            return False
        finally:
            if handle != self._chats:
                os.close(handle)
        return False

    def is_alive(self, reply_id: int) -> bool:
        """Whether some process is writing the reply."""
        try:
            handle = os.open(self._file(reply_id), _FLAGS)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
        finally:
            os.close(handle)
        return False

    def leave(self, reply_id: int) -> None:
        """Leave a claim as that of a process that has ended: `forget` takes it away."""
        with suppress(OSError):
            os.close(os.open(self._file(reply_id), _FLAGS | os.O_CREAT, 0o600))

    def forget(self, reply_id: int) -> None:
        """Remove the claim of a process that has ended; one that cannot be removed stays."""
        with suppress(OSError):
            self._file(reply_id).unlink()

    def _is_removed(self) -> bool:
        try:
            found = self._chats_file().stat()
        except FileNotFoundError:
            return True
        return not os.path.samestat(found, os.fstat(self._chats))

    def _close_chats(self) -> None:
        os.close(self._chats)
        self._chats, self._chat = -1, ""

    def _chats_file(self) -> Path:
        return self._path.with_name(f"{self._path.name}-chats")

    def _file(self, reply_id: int) -> Path:
        return self._path.with_name(f"{self._path.name}-turn-{reply_id}")


def number_of(name: str) -> int:
    """A number that no other conversation's id has."""
    number = 0
    for letter in name:
        number = number * len(ID_LETTERS) + ID_LETTERS.index(letter)
    return number
