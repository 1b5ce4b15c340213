"""A model that is kept: how soon the next ask answers, and what a loop of asks costs.

python bench/kept.py [PAIRS] [ASKS]: the first byte of `glm ask --keep` against that of `-m echo:`,
in pairs; and the processor time of ASKS kept asks, first load and keeper included, against as many
that load the model each (three are measured).
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

GLM = str(Path(sys.executable).with_name("glm"))
KEPT = ("ask", "-q", "--keep", "5m", "--max-tokens", "16", "--temperature", "0", "Say hi")
COLD = tuple(word for word in KEPT if word not in ("--keep", "5m"))
ECHO = ("ask", "-q", "-m", "echo:", "Say hi")
COLD_ASKS = 3


def first_byte_s(arguments: tuple[str, ...]) -> float:
    started = time.perf_counter()
    with subprocess.Popen([GLM, *arguments], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.read(1)
        seconds = time.perf_counter() - started
        process.stdout.read()
    return seconds


def cpu_s(arguments: tuple[str, ...], times: int) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    for _ in range(times):
        subprocess.run([GLM, *arguments], stdout=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def keeper_cpu_s() -> float:
    (kept,) = json.loads(subprocess.check_output([GLM, "ps", "--json"]))
    words = Path(f"/proc/{kept['pid']}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, words[11:13])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    pairs = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    asks = int(sys.argv[2]) if len(sys.argv) > 2 else 30
    with tempfile.TemporaryDirectory(prefix="glm-") as folder:
        os.environ |= {"XDG_RUNTIME_DIR": folder, "GLM_HOME": f"{folder}/home"}
        cold = cpu_s(COLD, COLD_ASKS) / COLD_ASKS * asks
        kept = cpu_s(KEPT, asks) + keeper_cpu_s()
        print(
            f"{asks} asks, CPU    {kept:6.1f} s   {kept / cold:.2f} x as many cold   (at most 0.25)"
        )
        times = [(first_byte_s(KEPT), first_byte_s(ECHO)) for _ in range(pairs)]
        ratio = statistics.median(ours / echo for ours, echo in times)
        ours = statistics.median(pair[0] for pair in times)
        print(f"first byte    {ours * 1000:6.0f} ms   {ratio:.2f} x echo:          (at most 1.5)")
        subprocess.run([GLM, "stop", "--all"], stdout=subprocess.DEVNULL, check=True)


if __name__ == "__main__":
    main()
