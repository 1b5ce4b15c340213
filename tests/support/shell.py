"""Run `glm` as a shell would: `glm("ask", "-m", "echo:", "hi").out`.

Also what terminals need for that: the command line, the environment, an end to all that was begun.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Done:
    """What a finished command left: its output as text, its exit code (minus a signal)."""

    out: str
    err: str
    code: int

    @property
    def err_lines(self) -> list[str]:
        return self.err.splitlines()


def clean_env(**extra: str) -> dict[str, str]:
    """The environment without this program's settings, a locale, or a word on colours."""
    ours = ("GLM_", "OPENAI_", "LC_", "LANG", "NO_COLOR", "FORCE_COLOR", "CLICOLOR")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(ours)}
    return kept | {"LC_ALL": "C.UTF-8"} | extra


def command(*arguments: str, module: str = "glmcli") -> list[str]:
    """The command line that runs the program under test."""
    return [sys.executable, "-m", module, *arguments]


def in_session(leader: int) -> list[int]:
    """The processes of a terminal: those, too, that a shell has moved to groups of their own."""
    listed = subprocess.run(
        ["ps", "-A", "-o", "pid="], check=True, stdout=subprocess.PIPE, text=True
    )
    found = []
    for pid in map(int, listed.stdout.split()):
        with suppress(ProcessLookupError):
            if os.getsid(pid) == leader:
                found.append(pid)
    return found


def kill_session(leader: int) -> None:
    """Kill all that a process began on its terminal; what it began survives its end otherwise."""
    for pid in in_session(leader):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def run_glm(
    *arguments: str, cwd: Path, stdin: str | bytes | None = None, timeout: float = 120, **env: str
) -> Done:
    """Run to the end. Without `stdin` it is empty."""
    data = stdin.encode() if isinstance(stdin, str) else stdin
    feed: dict[str, Any] = {"stdin": subprocess.DEVNULL} if data is None else {"input": data}
    done = subprocess.run(
        command(*arguments),
        cwd=cwd,
        env=clean_env(**{"GLM_HOME": str(cwd / "home"), **env}),
        capture_output=True,
        timeout=timeout,
        **feed,
    )
    return Done(done.stdout.decode(), done.stderr.decode(), done.returncode)
