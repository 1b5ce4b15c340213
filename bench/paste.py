"""`glm chat` on a pseudo-terminal: a long paste, some typing, Enter, and the wait for the reply.

The whole program is measured, as a person uses it; the figure is the one it stores itself.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pexpect
from peers import PeerFailed

from glmcli.store import open_store

PASTED_TOKENS = 4000
TYPED = ("", "So,", "what", "is", "this", "text", "about?", "Please", "sum", "it", "up")
"""A word at a time, with pauses in which a program may get ready."""
TYPING_S = 5.0
PATIENCE_S = 600.0
PASTE = "\x1b[200~{}\x1b[201~"


def first_token_after_paste(text: str, *, model: str, dtype: str, warm: str) -> float:
    """Seconds from Enter to the first text of the reply. Raises PeerFailed."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        # The first turn is there so that the model is loaded.
        arguments = ["-m", "glmcli", "chat", "Hello.", "-m", model, "--dtype", dtype]
        arguments += ["--max-tokens", "4", "--temperature", "0"]
        kept = {key: value for key, value in os.environ.items() if not key.startswith("GLM_")}
        if cache := os.environ.get("GLM_CACHE"):
            kept["GLM_CACHE"] = cache
        environment = kept | {"GLM_HOME": folder, "GLM_WARM": warm, "TERM": "xterm-256color"}
        chat = pexpect.spawn(sys.executable, arguments, env=environment, cwd=folder, timeout=None)
        try:
            chat.delaybeforesend = None
            wait(chat, lambda: len(first_tokens(home)) == 1)
            pause(chat, 1.0)
            chat.send(PASTE.format(text))
            for word in TYPED:
                chat.send(f"{word} ")
                pause(chat, TYPING_S / len(TYPED))
            chat.send("\r")
            wait(chat, lambda: len(first_tokens(home)) == 2)
        finally:
            chat.close(force=True)
        return first_tokens(home)[-1]


def wait(chat: pexpect.spawn[bytes], is_so: Callable[[], bool]) -> None:
    """Read what the program writes until something is so. Raises PeerFailed."""
    end = time.monotonic() + PATIENCE_S
    while not is_so():
        if time.monotonic() > end or not chat.isalive():
            raise PeerFailed("glm chat did not answer")
        pause(chat, 0.1)


def pause(chat: pexpect.spawn[bytes], seconds: float) -> None:
    """Read what the program writes for a while: a full pipe would stop it."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        try:
            chat.read_nonblocking(65536, left)
        except pexpect.TIMEOUT:
            return
        except pexpect.EOF:
            raise PeerFailed("glm chat ended") from None


def first_tokens(home: Path) -> list[float]:
    """Seconds to the first token of each complete reply of the only conversation."""
    if not (home / "history.db").exists():
        return []
    with closing(open_store(home)) as store:
        last = store.last()
    usages = [item.usage for item in last.messages] if last else []
    return [usage.first_token_s for usage in usages if usage and usage.first_token_s is not None]
