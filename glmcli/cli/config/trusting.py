"""`glm config trust`, `untrust`, `trusted`: which folders may decide more."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from glmcli.cli.completion.candidates import folder_paths, if_asked
from glmcli.cli.dialog import tell
from glmcli.cli.settings import setting_lines
from glmcli.cli.tables import AsJson, cell, print_json, print_rows
from glmcli.config import own_home, powerful_settings
from glmcli.config.files import read_dotenv
from glmcli.config.settings import parse
from glmcli.config.values import Malformed
from glmcli.errors import UsageError
from glmcli.language import later, tr
from glmcli.paths import absolute, is_folder, path_of
from glmcli.terminal.visible import visible_line

if TYPE_CHECKING:
    from glmcli.config.trust import Decisions

trusting = typer.Typer()
_FOLDER = Annotated[
    str,
    typer.Argument(
        metavar="[FOLDER]",
        help=tr("the folder of the .env"),
        show_default=False,
        autocompletion=if_asked(folder_paths),
    ),
]
HERE = "."


def dotenv_of(typed: str) -> Path:
    """The `.env` of a folder; it may be named itself, whether it is there or not."""
    folder = path_of(typed)
    return folder if folder.name == ".env" and not is_folder(folder) else folder / ".env"


@trusting.command()
def trust(folder: _FOLDER = HERE) -> None:
    """Let the .env of a folder decide more, as it is now.

    That is the model, the server, the key, folders. When it changes you are asked again. No .env
    can let a model's Python run.
    """
    from glmcli.config.trust import decide

    dotenv = dotenv_of(folder)
    place = dotenv.parent
    content = read_dotenv(dotenv)
    if content.unread:
        raise UsageError(content.unread, tr("check the file"))
    if not content.values:
        raise nothing_set(place, dotenv)
    powerful = powerful_settings(place, content)
    if not powerful:
        print(visible_line(tr("{path} needs no trust", path=absolute(dotenv))))
        return
    for name, value in powerful.items():
        if isinstance(value, Malformed):
            parse(name, value, str(dotenv))  # raises: what cannot be read cannot be agreed to
    decide(own_home(), dotenv, content.data, tell, trusted=True)
    print(visible_line(tr("trusted, as it is now: {path}", path=absolute(dotenv))))
    for line in setting_lines(powerful):
        print(line)


def nothing_set(folder: Path, dotenv: Path) -> UsageError:
    """The error to raise where a folder's `.env` has no line for this program."""
    if not os.path.lexists(folder):
        return UsageError(tr("there is no folder {folder}", folder=folder), tr("check the path"))
    hint = tr(".env.example shows what can be set")
    if not os.path.lexists(dotenv):
        return UsageError(tr("there is no .env in {folder}", folder=absolute(folder)), hint)
    return UsageError(tr("{dotenv} sets nothing for glm", dotenv=dotenv), hint)


@trusting.command()
def untrust(folder: _FOLDER = HERE) -> None:
    """Forget what was decided about the .env of a folder: yes or no."""
    from glmcli.config.trust import forget

    dotenv = dotenv_of(folder)
    forget(own_home(), dotenv, tell)
    print(visible_line(tr("not trusted: {path}", path=absolute(dotenv))))


@trusting.command()
def trusted(as_json: AsJson = False) -> None:
    """List what was decided about the .env of folders."""
    from glmcli.config.trust import load_decisions

    decisions = load_decisions(own_home())
    found = [(path, state(decisions, Path(path))) for path in sorted(decisions.made)]
    if as_json:
        print_json([{"path": path, "state": state} for path, state in found])
        return
    rows = [(path, cell(state)) for path, state in found]
    print_rows((".env", later("state")), rows, none=tr("nothing was decided about any folder"))


def state(decisions: Decisions, dotenv: Path) -> str:
    """How a `.env` stands as it is now: "trusted", "refused", "changed" or "gone"."""
    data = read_dotenv(dotenv).data
    answer = decisions.about(dotenv, data)
    if answer is None:
        return later("changed") if data else later("gone")
    return later("trusted") if answer else later("refused")
