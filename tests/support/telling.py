"""`glm` with one more engine, `telling:FILE`: echo, which writes down what it gets ready for."""

from __future__ import annotations

import json
from pathlib import Path

from glmcli.cli import main
from glmcli.engines import ENGINES
from glmcli.engines.echo import EchoEngine


class TellingEngine(EchoEngine):
    """One line of JSON for each prompt it was to get ready for: the texts of the messages."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path

    def warm(self, messages, params, cancel):
        with self.path.open("a") as file:
            file.write(json.dumps([message.text for message in messages]) + "\n")


def open_engine(name, settings, report):
    return TellingEngine(Path(name))


def warmed(path: Path) -> list[list[str]]:
    """What was written down."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


if __name__ == "__main__":
    ENGINES["telling"] = "tests.support.telling"
    main()
