"""Ask a server as a user does, in a process of its own, and look at how that ended."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

GLM = (sys.executable, "-m", "glmcli")
PATIENCE_S = 60.0
TOO_MUCH = 1_500_000_000
"""Memory at which a program is killed: the machine that tests must bear it."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program ended, and the most memory that it had in use, in bytes."""

    code: int
    out: str
    err: str
    seconds: float
    memory: int


def ask(
    url: str, model: str, key: str, folder: Path, *, timeout_s: int, command: Sequence[str] = GLM
) -> Ended:
    """`glm ask` with a home of its own in `folder`."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("GLM_")}
    env |= {"GLM_HOME": str(folder / "home"), "GLM_API_KEY": key, "GLM_DEBUG": "0"}
    arguments = [*command, "ask", "hi", "--no-stdin", "-m", model, "--base-url", url]
    out, err = folder / "out", folder / "err"
    started = time.monotonic()
    with out.open("wb") as to_out, err.open("wb") as to_err:
        process = subprocess.Popen(
            [*arguments, "--timeout", str(timeout_s)],
            cwd=folder,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=to_out,
            stderr=to_err,
        )
        memory = 0
        while process.poll() is None:
            memory = max(memory, peak_memory(process.pid))
            if memory > TOO_MUCH or time.monotonic() - started > PATIENCE_S:
                process.kill()
            time.sleep(0.005)
    seconds = time.monotonic() - started
    texts = [path.read_bytes()[:5_000_000].decode("utf-8", "replace") for path in (out, err)]
    return Ended(process.returncode, *texts, seconds, memory)


def peak_memory(pid: int) -> int:
    """The most memory that a process has had in use; 0 if it is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return 0
    line = next((line for line in status.splitlines() if line.startswith("VmHWM:")), "VmHWM: 0 kB")
    return int(line.split()[1]) * 1024
