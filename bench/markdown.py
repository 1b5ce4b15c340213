"""Streamed Markdown: bytes to the terminal, CPU and the worst frame, for a reply of 4,000 tokens.

A window of 100 x 30, 50 tokens a second, 10 frames a second; CPU is the best of three runs.
`--rich` shows the same text with Rich's `Live(Markdown(text))`, which takes a minute.

    python bench/markdown.py [--rich]
"""

from __future__ import annotations

import argparse
import io
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from glmcli.terminal.markdown.stream import MarkdownStream, warm_up
from glmcli.terminal.replies.painter import Painter
from glmcli.terminal.theme import DIM

SAMPLE = Path(__file__).parent.parent / "tests/data/sample.md"
COLUMNS, LINES = 100, 30
TOKENS_A_FRAME = 5
TOKEN = re.compile(
    r"\s*[\u4e00-\u9fff]{1,2}|\s*[A-Za-z]{1,5}|\s*\d{1,3}|\s*[^\sA-Za-z\d\u4e00-\u9fff]{1,2}|\s+"
)
PARAGRAPH = "Some words 一些文字 with `code`, **strong words** and *others*, on and on. "


@dataclass
class Run:
    """What one reply cost."""

    tokens: int
    bytes: int
    cpu_s: float
    worst_s: float

    @property
    def cpu_a_token_us(self) -> float:
        return self.cpu_s / self.tokens * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rich", action="store_true", help="also Rich's Live(Markdown)")
    options = parser.parse_args()
    warm_up()
    tokens = TOKEN.findall(SAMPLE.read_text(encoding="utf-8"))
    sample = tokens * (-(-4000 // len(tokens)))
    paragraph = TOKEN.findall(PARAGRAPH * 1000)
    reply = best(stream, sample)
    with_status = best(stream_with_status, sample)
    four_times = best(stream, sample * 4)
    short, long = best(stream, paragraph[:1000]), best(stream, paragraph[:10000])
    print(f"{'':44}{'here':>14}{'reach':>10}")
    show("bytes", f"{reply.bytes:,}", "40,000")
    show("bytes, with a status row twice a second", f"{with_status.bytes:,}", "40,000")
    show("CPU", f"{reply.cpu_s:.2f} s", "0.8 s")
    growth = four_times.cpu_a_token_us / reply.cpu_a_token_us
    show("CPU a token, 16,000 tokens against 4,000", f"{growth:.2f} x", "1.3 x")
    growth = long.cpu_a_token_us / short.cpu_a_token_us
    show("CPU a token, one paragraph, 10,000 to 1,000", f"{growth:.2f} x", "1.5 x")
    show("worst frame", f"{max(reply.worst_s, with_status.worst_s) * 1e3:.0f} ms", "25 ms")
    if options.rich:
        for overflow in ("ellipsis", "visible"):
            live = rich_live(sample, overflow)
            cost = f"{live.bytes:,} bytes, {live.cpu_s:.1f} s, worst {live.worst_s * 1e3:.0f} ms"
            print(f"Rich Live(Markdown), {overflow}: {cost}")


def show(what: str, here: str, reach: str) -> None:
    print(f"{what:44}{here:>14}{reach:>10}")


def best(run: Callable[[list[str]], Run], tokens: list[str]) -> Run:
    """The run of three that took the least CPU."""
    return min((run(tokens) for _ in range(3)), key=lambda result: result.cpu_s)


def frames(tokens: list[str]) -> Iterator[str]:
    for start in range(0, len(tokens), TOKENS_A_FRAME):
        yield "".join(tokens[start : start + TOKENS_A_FRAME])


def stream_with_status(tokens: list[str]) -> Run:
    return stream(tokens, with_status=True)


def stream(tokens: list[str], *, with_status: bool = False) -> Run:
    written = io.StringIO()
    painter = Painter(written.write, columns=COLUMNS, lines=LINES)
    reply = MarkdownStream(width=painter.width)
    worst, begin = 0.0, time.process_time()
    for count, text in enumerate(frames(tokens)):
        frame = time.process_time()
        reply.feed(text)
        status = f"answering · {count // 5 * 25} tokens · 50.0 tok/s · Ctrl-C stops"
        below = ((status, DIM),) if with_status else None
        painter.paint(reply.take(), reply.live(), below)
        worst = max(worst, time.process_time() - frame)
    reply.finish()
    painter.paint(reply.take())
    painter.finish()
    cpu_s = time.process_time() - begin
    return Run(len(tokens), len(written.getvalue().encode()), cpu_s, worst)


def rich_live(tokens: list[str], overflow: str) -> Run:
    from rich.console import Console
    from rich.live import Live
    from rich.markdown import Markdown

    written = io.StringIO()
    console = Console(file=written, force_terminal=True, width=COLUMNS, height=LINES)
    text, worst, begin = "", 0.0, time.process_time()
    with Live(console=console, auto_refresh=False, vertical_overflow=overflow) as live:
        for new in frames(tokens):
            frame = time.process_time()
            text += new
            live.update(Markdown(text), refresh=True)
            worst = max(worst, time.process_time() - frame)
    cpu_s = time.process_time() - begin
    return Run(len(tokens), len(written.getvalue().encode()), cpu_s, worst)


if __name__ == "__main__":
    main()
