"""Runs `glm` on hostile material: a process for each run, under limits, its cost measured.

`Runner` starts this file as a program that has torch and transformers imported and forks for each
run, so that a run takes a tenth of a second where an import would take seconds. What the imports
beyond torch cost is added to each run. Knows nothing of what is run, nor of the package at import.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any

GB = 1 << 30
MEMORY_BYTES = 3 * GB
"""What a run may have in memory at most."""
_SUBREAPER = 36
"""PR_SET_CHILD_SUBREAPER, see prctl(2)."""
CAP_BYTES = 10 * GB
"""Where the system ends a run, for the sake of the machine; far above what it may have."""
CPU_S = 15.0
"""What a run may take of the processor, beyond importing torch, where others share its cores."""
PATIENCE_S = 60.0
"""When a run that does not end is killed, on a machine that may be busy."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one run ended, and what it cost."""

    code: int | None
    """The exit code; negative for a signal, None if it had to be killed for time."""
    out: str
    err: str
    cpu_s: float
    """Of the processor, children included."""
    peak_bytes: int
    seconds: float

    def faults(self, *codes: int, said: str = "") -> list[str]:
        """What is wrong with the way it ended; nothing if it is as it should be.

        `codes` are the exit codes that are right, 3 if none is given; `said` is a part of what an
        error has to say. An error is one line and a hint.
        """
        found = []
        if self.code is None:
            found.append(f"does not end ({self.seconds:.0f} s)")
        elif self.code not in (codes or (3,)):
            found.append(f"exit {self.code}")
        if "Traceback" in self.err or "panicked" in self.err:
            found.append("a traceback")
        elif self.code and len(self.err.splitlines()) != 2:
            found.append(f"{len(self.err.splitlines())} lines on stderr")
        if self.code and said not in self.err:
            found.append(f"does not say {said!r}")
        if self.cpu_s > CPU_S:
            found.append(f"{self.cpu_s:.0f} s of CPU")
        if self.peak_bytes > MEMORY_BYTES:
            found.append(f"{self.peak_bytes / GB:.1f} GB")
        return found


class Runner:
    """A process that runs `glm` again and again: `with Runner() as runner: runner.run(...)`."""

    def __enter__(self) -> Runner:
        self._server = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self._server.communicate("")  # the end of its input is the end of it

    def run(
        self,
        arguments: Sequence[str],
        folder: Path,
        *,
        env: Mapping[str, str] | None = None,
        stdin: str = "",
        patience_s: float = PATIENCE_S,
    ) -> Outcome:
        """Run `glm` with these arguments in a folder, and wait for its end."""
        assert self._server.stdin is not None and self._server.stdout is not None
        job = {
            "arguments": list(arguments),
            "folder": str(folder),
            "env": {**os.environ, "CUDA_VISIBLE_DEVICES": "", **(env or {})},
            "stdin": stdin,
            "patience_s": patience_s,
        }
        self._server.stdin.write(json.dumps(job) + "\n")
        self._server.stdin.flush()
        return Outcome(**json.loads(self._server.stdout.readline()))


def serve() -> None:
    """Run what is asked for on stdin, a line of JSON each, and answer in the same way."""
    import torch  # noqa: F401

    before = time.process_time()
    import tokenizers  # noqa: F401
    import transformers  # noqa: F401
    from transformers import modeling_utils, tokenization_utils_base  # noqa: F401
    from transformers.models.auto import modeling_auto, tokenization_auto  # noqa: F401

    imports_s = time.process_time() - before
    adopt_orphans()
    for line in sys.stdin:
        print(json.dumps(asdict(watched(json.loads(line), imports_s))), flush=True)


def watched(job: dict[str, Any], imports_s: float) -> Outcome:
    """One run, to its end or for as long as patience lasts."""
    with (
        tempfile.TemporaryFile() as stdin,
        tempfile.TemporaryFile() as out,
        tempfile.TemporaryFile() as err,
    ):
        stdin.write(job["stdin"].encode())
        stdin.seek(0)
        started = time.monotonic()
        pid = os.fork()
        if pid == 0:
            become(job, [stdin.fileno(), out.fileno(), err.fileno()])
        code, *used = waited(pid, started + job["patience_s"])
        texts = [whole(file) for file in (out, err)]
    return Outcome(
        code,
        out=texts[0],
        err=texts[1],
        cpu_s=sum(each.ru_utime + each.ru_stime for each in used) + imports_s,
        peak_bytes=max(each.ru_maxrss for each in used) * 1024,
        seconds=time.monotonic() - started,
    )


def whole(file: IO[bytes]) -> str:
    """The text that was written to a file, up to a megabyte."""
    file.seek(0)
    return file.read(1 << 20).decode(errors="replace")


def waited(pid: int, deadline: float) -> tuple[int | None, *tuple[resource.struct_rusage, ...]]:
    """The exit code of a process, and what it and each child that it left behind have used.

    It is killed at the deadline: None then. Its children end when it is gone.
    """
    is_late = False
    code: int | None = None
    all_used = []
    while True:
        try:
            found, status, used = os.wait4(-1, os.WNOHANG)
        except ChildProcessError:
            return code, *all_used
        if found:
            all_used.append(used)
        if found == pid and not is_late:
            code = os.waitstatus_to_exitcode(status)
        if time.monotonic() > deadline and not is_late:
            is_late = True
            os.killpg(pid, signal.SIGKILL)
        if not found:
            time.sleep(0.005)


def adopt_orphans() -> None:
    """Let children of a run that has ended become children of this process, on Linux."""
    ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)


def become(job: dict[str, Any], handles: Sequence[int]) -> None:
    """Turn this forked process into `glm` with its arguments. Never returns."""
    code: Any = 1
    try:
        os.setsid()
        for number, handle in enumerate(handles):
            os.dup2(handle, number)
        limit(resource.RLIMIT_DATA, CAP_BYTES)
        limit(resource.RLIMIT_FSIZE, GB)
        limit(resource.RLIMIT_CORE, 0)
        limit(resource.RLIMIT_CPU, round(4 * CPU_S))
        os.environ.clear()
        os.environ.update(job["env"])
        os.chdir(job["folder"])
        sys.argv = ["glm", *job["arguments"]]
        sys.stdin, sys.stdout, sys.stderr = (
            open(number, mode, encoding="utf-8", closefd=False)  # noqa: SIM115
            for number, mode in enumerate(("r", "w", "w"))
        )
        from glmcli.__main__ import main

        main()
        code = 0
    except SystemExit as end:
        code = end.code
    except BaseException:
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(code if isinstance(code, int) else int(code is not None))


def limit(kind: int, most: int) -> None:
    """Lower a limit of this process."""
    resource.setrlimit(kind, (most, most))


if __name__ == "__main__":
    serve()
