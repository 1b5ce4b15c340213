"""The role that a command is given by `--role`. Knows nothing of what a role does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from glmcli.cli.completion.candidates import if_asked, roles
from glmcli.language import tr

if TYPE_CHECKING:
    from glmcli.conversation.roles import NamedRole

RoleName = Annotated[
    str | None,
    typer.Option(
        "--role",
        metavar="NAME",
        help=tr("a system prompt and settings by name: glm roles list"),
        autocompletion=if_asked(roles),
    ),
]


def role_named(name: str | None) -> NamedRole | None:
    """The role that was asked for, if one was. Raises UsageError, ConfigError."""
    if name is None:
        return None
    from glmcli.conversation.roles import load_role

    return load_role(name)


def in_frame(text: str | None, role: NamedRole | None, *, has_files: bool) -> str | None:
    """The prompt in the words of the role, if it has some around it; files may be all of it."""
    if role is None or not (text or has_files):
        return text
    return role.framed(text or "") or None
