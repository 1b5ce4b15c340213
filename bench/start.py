"""How soon the program is there: --help against a bare Python, and a usable prompt.

python bench/start.py [RUNS]: prints medians and ratios. A key is typed as soon as the program runs,
or right behind the Ctrl-C that stops a reply; the prompt is usable when it is on the screen.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.support.term import Term

GLM = str(Path(sys.executable).with_name("glm"))


def seconds(*command: str) -> float:
    started = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - started


def prompt_seconds(model: str, home: Path) -> float:
    started = time.perf_counter()
    with Term("chat", "-m", model, home=home) as term:
        term.type("x").at_prompt("x")
        return time.perf_counter() - started


def stop_seconds(home: Path) -> float:
    with Term("chat", "-m", "echo:delay=0.01", home=home) as term:
        term.at_prompt().type("word " * 400 + "\r").see("answering")
        stopped = time.perf_counter()
        term.type("\x03x").at_prompt("x")
        return time.perf_counter() - stopped


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 9
    pairs = [(seconds(GLM, "--help"), seconds(sys.executable, "-c", "pass")) for _ in range(runs)]
    ratio = statistics.median(ours / bare for ours, bare in pairs)
    ours = statistics.median(pair[0] for pair in pairs)
    print(f"glm --help          {ours * 1000:6.0f} ms   {ratio:.1f} x python -c pass   (at most 4)")
    with tempfile.TemporaryDirectory() as folder:
        for model in ("echo:", "smollm2"):
            waits = [prompt_seconds(model, Path(folder)) for _ in range(runs)]
            print(f"prompt, {model:<12}{statistics.median(waits) * 1000:6.0f} ms   (at most 300)")
        waits = [stop_seconds(Path(folder)) for _ in range(runs)]
        print(f"Ctrl-C to a prompt  {statistics.median(waits) * 1000:6.0f} ms   (at most 300)")


if __name__ == "__main__":
    main()
