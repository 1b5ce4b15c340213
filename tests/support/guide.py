"""The pages of docs/guide: their blocks, and the commands in them as a person would type them.

A block ```console is run: a line `$ …` is typed into a shell, `> …` into a chat that it began, and
every other line is what is to be seen; `…` stands for anything, alone on a line for any rows, and
what follows a question, `[y/N] y`, is its answer. A block ```text is not run: it takes a network, a
GPU or a model of several GB.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.loopback import OK, Connection, Loopback
from tests.support.relay import Relay
from tests.support.term import Term

GUIDE = Path(__file__).parent.parent.parent / "docs" / "guide"
LANGUAGES = {"en": "C.UTF-8", "zh": "zh_CN.UTF-8"}
PAGES = sorted(path.stem for path in (GUIDE / "en").glob("*.md"))
QUESTION = "[y/N]"
BLOCK = re.compile(r"^(`{3,})(\w+)\n(.*?)^\1$", re.MULTILINE | re.DOTALL)
COLUMNS, ROWS = 100, 50
PATIENCE_S = 120.0
HELP = {
    title.strip(): text
    for title, text in re.findall(
        r"^## glm(.*?)\n(.*?)(?=^## |\Z)",
        (GUIDE.parent / "cli.md").read_text(encoding="utf-8"),
        re.MULTILINE | re.DOTALL,
    )
}
"""What docs/cli.md says of each command."""
LEAVE = "\x04"
SERVED = "glm-4-9b"
REPLY = "The capital of France is Paris."


@dataclass(frozen=True)
class Step:
    """A command, what is typed into the chat that it begins, and the rows that are to be seen."""

    command: str
    typed: list[str] = field(default_factory=list)
    shown: list[str] = field(default_factory=list)

    @property
    def fails(self) -> bool:
        """Whether the page shows an error."""
        return any(row.startswith("glm: ") for row in self.shown)

    @property
    def answers(self) -> list[str]:
        """What the questions of the program are answered with."""
        return [row.partition(f"{QUESTION} ")[2] for row in self.shown if f"{QUESTION} " in row]


def page(language: str, name: str) -> str:
    """The text of a page."""
    return (GUIDE / language / f"{name}.md").read_text(encoding="utf-8")


def blocks(text: str, kind: str) -> list[str]:
    """What stands in the fenced blocks of a kind: console, text, …"""
    return [block for _, found, block in BLOCK.findall(text) if found == kind]


def steps(text: str) -> list[Step]:
    """The commands of a page that are run, in their order."""
    found: list[Step] = []
    for block in blocks(text, "console"):
        for row in block.splitlines():
            if row.startswith("$ "):
                found.append(Step(row[2:]))
                continue
            if row.startswith("> "):
                found[-1].typed.append(row[2:])
            found[-1].shown.append(row)
    return found


def not_run(text: str) -> list[str]:
    """The command lines of `glm` that are shown and not run; one that goes on is one line."""
    rows = "\n".join(blocks(text, "text")).replace("\\\n", " ").splitlines()
    return [row.strip() for row in rows if re.search(r"(^|[ |])glm ", row)]


def unknown_options(line: str) -> list[str]:
    """The options in a command line of `glm` that docs/cli.md does not have for its command."""
    unknown = []
    for call in re.findall(r"(?:^|[ |])glm ((?:[^|]|\|(?! ))+)", line):
        words = call.split(" -- ")[0].split()
        depth = next(n for n in (2, 1, 0) if (name := " ".join(words[:n])) in HELP)
        asked = [word for word in words[depth:] if re.match(r"-[a-z-]", word)]
        known = re.findall(r"(?<![\w-])--?[a-z][a-z-]*", HELP[name])
        unknown += [word for word in asked if word not in known]
    return unknown


def matches(shown: list[str], seen: list[str]) -> bool:
    """Whether rows are what a page shows; empty rows, and how wide columns are, do not count."""
    shown = [row for row in shown if row.strip()]
    seen = [row for row in seen if row.strip()]
    pattern = "".join(
        r"(?:.*\n)*?" if row.strip() == "…" else re.escape(row.rstrip()).replace("…", ".*") + r"\n"
        for row in shown
    )
    pattern = re.sub(r"(?:\\ ){2,}", r"\\ {2,}", pattern)
    return re.fullmatch(pattern, "".join(f"{row.rstrip()}\n" for row in seen)) is not None


@dataclass
class Reader:
    """A person who types what a page shows, into a shell in a fresh folder with a fresh home."""

    term: Term
    codes: Path

    def do(self, step: Step) -> list[str]:
        """Type a command and what belongs to it; the rows that come of it."""
        before = len(self.rows())
        self.enter("$", step.command)
        if step.typed:
            for line in step.typed:
                self.prompt(">")
                self.enter(">", line)
            if step.typed[-1] != "/exit":
                self.prompt(">")
                self.term.type(LEAVE)
        for answer in step.answers:
            self.term.until(lambda t: t.prompt_row().endswith(QUESTION), QUESTION, PATIENCE_S)
            self.term.type(f"{answer}\r")
        self.prompt("$")
        rows = self.rows()[before - 1 :]
        assert rows[0] == f"$ {step.command}", rows
        return rows[1:-1]

    def code(self) -> int:
        """The exit code of the last command."""
        return int(self.codes.read_text().split()[-1])

    def rows(self) -> list[str]:
        """All rows, to that of the cursor."""
        below = self.term.screen.lines - 1 - self.term.screen.cursor.y
        return self.term.text().split("\n")[: -below or None]

    def prompt(self, mark: str) -> None:
        """Wait until the prompt is there and empty."""
        self.term.until(lambda t: t.prompt_row() == mark, f"the prompt {mark}", PATIENCE_S)

    def enter(self, mark: str, line: str) -> None:
        """Type a line, see it and press Enter."""
        self.term.type(line)
        self.term.until(lambda t: t.prompt_row() == f"{mark} {line}", line, PATIENCE_S)
        self.term.type("\r")
        self.term.until(lambda t: t.prompt_row() != f"{mark} {line}", "what follows", PATIENCE_S)


def serve(connection: Connection) -> None:
    """What listens at server:8000: one model, which has one reply."""
    if b"/chat/completions" in connection.requests[-1]:
        connection.send(OK)
        for delta, reason in (({"content": REPLY}, None), ({}, "stop")):
            message = json.dumps({"choices": [{"delta": delta, "finish_reason": reason}]})
            connection.chunk(b"data: " + message.encode() + b"\n\n")
        connection.chunk(b"")
        return
    models = {"data": [{"id": SERVED, "owned_by": "vllm", "max_model_len": 8192}]}
    body = json.dumps(models).encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    connection.send(f"{head}\r\n\r\n".encode() + body)


@contextmanager
def reading(language: str) -> Iterator[Reader]:
    """A reader at the prompt of a shell in which `glm` speaks a language; server:8000 is there.

    The folder has a short name, so that lines with paths break where the page has them break.
    """
    with (
        tempfile.TemporaryDirectory(dir="/tmp") as name,
        Loopback(serve) as server,
        Relay(server.url) as relay,
    ):
        folder = Path(name)
        (folder / "work").mkdir()
        program = folder / "bin" / "glm"
        program.parent.mkdir()
        program.write_text(
            f"#!/bin/sh\nLC_ALL={LANGUAGES[language]} PYTHONUTF8=1"
            f' exec {sys.executable} -m glmcli "$@"\n'
        )
        program.chmod(0o755)
        codes = folder / "codes"
        proxies = {"HTTP_PROXY": f"http://{relay.address}", "HTTPS_PROXY": "", "ALL_PROXY": ""}
        with Term(
            home=folder / "work",
            cols=COLUMNS,
            rows=ROWS,
            shell=True,
            GLM_HOME=str(folder / "home"),
            HF_HUB_CACHE=str(folder / "hub"),
            PATH=f"{program.parent}:/usr/local/bin:/usr/bin:/bin",
            PROMPT_COMMAND=f"echo $? >> {codes}",
            NO_PROXY="",
            no_proxy="",
            **proxies,
            **{variable.lower(): "" for variable in proxies},
        ) as term:
            reader = Reader(term, codes)
            reader.prompt("$")
            yield reader
