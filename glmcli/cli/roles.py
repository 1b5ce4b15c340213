"""`glm roles`: named system prompts with settings, for `--role` and `/role`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from glmcli.cli.completion.candidates import if_asked, roles
from glmcli.cli.dialog import tell
from glmcli.cli.tables import AsJson, cell, print_json, print_rows, print_text
from glmcli.config import move_own_config
from glmcli.errors import UsageError
from glmcli.language import later, tr
from glmcli.terminal.visible import visible_line

roles_app = typer.Typer(help=tr("Named system prompts with settings: glm ask --role NAME."))
_ROLE = Annotated[str, typer.Argument(metavar="NAME", autocompletion=if_asked(roles))]


@roles_app.callback(invoke_without_command=True)
def all_roles(context: typer.Context) -> None:
    """List the roles where no command is named."""
    if context.invoked_subcommand is None:
        list_roles()


@roles_app.command("list")
def list_roles(as_json: AsJson = False) -> None:
    """List the roles, and where each comes from."""
    from glmcli.conversation.roles import about_roles, why_no_roles

    if line := why_no_roles():
        tell(line)
    built_in = "built in" if as_json else cell("built in")
    rows = [(name, about, str(path or built_in)) for name, about, path in about_roles()]
    if as_json:
        print_json([dict(zip(("name", "about", "source"), row, strict=True)) for row in rows])
    else:
        head = (later("name"), later("about"), later("source"))
        print_rows(head, rows, whole=("name", "source"), spare=("source",))


@roles_app.command("show")
def show_role(name: _ROLE) -> None:
    """Print a role, and on stderr where it comes from."""
    from pathlib import Path

    from glmcli.conversation.roles import parse_role, role_text

    text, path = role_text(name)
    print_text(text)
    sys.stdout.flush()
    if path:
        tell(tr("{name} is {path}", name=name, path=path))
    else:
        tell(tr("{name} is built in", name=name))
    parse_role(text, path or Path(name))


@roles_app.command("edit")
def edit_role(name: _ROLE) -> None:
    """Open a role in your editor; one that is built in is copied.

    A name that is not there yet begins a new one.
    """
    from glmcli.cli.config.changing import edited_text, put_edited
    from glmcli.config.files import config_text
    from glmcli.conversation.roles import NEW_ROLE, parse_role, role_names, role_path, role_text
    from glmcli.terminal.output import Output

    move_own_config(tell)
    path = role_path(name)
    if sys.stdin is None or not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError(
            tr("only a terminal has an editor"), tr("write the file {path}", path=path)
        )
    there = config_text(path)
    before = role_text(name)[0] if name in role_names() else NEW_ROLE
    edited = edited_text(before, path, Output(sys.stdout), check=parse_role)
    if edited.rstrip("\n") == before.rstrip("\n"):
        print(tr("nothing was changed"))
        return
    put_edited(path, there, edited)
    print(tr("written: {path}", path=visible_line(str(path))))
