"""`glm config get`, `set`, `unset`, `edit`: one setting, and the user's own config.toml."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING, Annotated, Any

import typer

from glmcli.cli.completion.candidates import config_values, if_asked, setting_names
from glmcli.cli.config.given import is_secret, lasting, name_and_value
from glmcli.cli.dialog import tell
from glmcli.cli.options import with_settings
from glmcli.cli.tables import AsJson, print_json
from glmcli.config import (
    TOML,
    Settings,
    left_behind,
    load_settings,
    move_own_config,
    whole_own_config,
)
from glmcli.config.files import config_text
from glmcli.config.settings import variable
from glmcli.errors import ConfigError, UsageError
from glmcli.language import tr
from glmcli.terminal.visible import visible, visible_line

if TYPE_CHECKING:
    from glmcli.terminal.output import Output

changing = typer.Typer()
_NAME = Annotated[
    str,
    typer.Argument(
        metavar="NAME",
        help=tr("a setting, or keys.HOST"),
        autocompletion=if_asked(setting_names),
    ),
]
_VALUE = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="VALUE",
        help=tr("its value; - reads it from stdin, and a key is never shown: leave it out"),
        autocompletion=if_asked(config_values),
    ),
]


@changing.command()
@with_settings(needed=())
def get(settings: Settings, name: _NAME, as_json: AsJson = False) -> None:
    """Print the value of a setting that is in force; keys are hidden."""
    from glmcli.config.written import KEYS, setting_named, shown_value

    name = setting_named(name)
    if name.startswith(KEYS):
        value = settings.keys.get(name.removeprefix(KEYS), "")
        source = settings.sources["keys"] if value else "default"
    else:
        value, source = getattr(settings, name), settings.sources.get(name, "default")
    ignored = settings.not_taken().get(variable(name), "")
    if not as_json:
        text = shown_value(name, value)
        print(visible(text) if sys.stdout.isatty() else text)
        if ignored:
            tell(tr("ignored: {what}", what=ignored))
        if settings.left_behind:
            tell(settings.left_behind)
        return
    shown = shown_value(name, value)
    print_json({"name": name, "value": shown, "source": source, "ignored": ignored})


@changing.command("set", context_settings={"ignore_unknown_options": True})
def set_setting(name: _NAME, value: _VALUE = None) -> None:
    """Keep a value in config.toml, for every call from now on."""
    from glmcli.config.written import checked_value, setting_named, shown_value

    is_typed = "=" in name if not value else value != ["-"]
    name, given = name_and_value(name, value or [])
    name = setting_named(name)
    new = lasting(name, checked_value(name, given))
    path = put_settings({name: new})
    shown = visible_line(shown_value(name, tuple(new) if isinstance(new, list) else new))
    print(tr("{name} is {value}, in {path}", name=name, value=shown, path=visible_line(str(path))))
    tell_what_goes_before(name)
    if is_typed and is_secret(name):
        tell(
            tr(
                "the key now stands in the shell's history too; glm config set {name} without it "
                "asks for it unseen",
                name=visible_line(name),
            )
        )


@changing.command()
def unset(name: _NAME) -> None:
    """Take a setting out of config.toml."""
    from glmcli.config.written import setting_named, without_value
    from glmcli.ours import one_at_a_time, write_private

    path = path_to_write()
    with one_at_a_time(path, tell):
        before = config_text(path)
        after = without_value(before, path, name)  # what is none must be possible to take out
        if after == before:
            name = setting_named(name)
            after = without_value(before, path, name)
        if after == before:
            raise UsageError(
                tr("{path} does not set {name}", path=path, name=name),
                tr("glm config show tells where each value came from"),
            )
        write_private(path, after)
    print(tr("{name} is not set any more, in {path}", name=name, path=visible_line(str(path))))


@changing.command("edit")
def edit_config() -> None:
    """Open config.toml in your editor; nothing wrong is kept."""
    from glmcli.config.written import check_text
    from glmcli.terminal.output import Output

    if sys.stdin is None or not (sys.stdin.isatty() and sys.stdout.isatty()):
        check_text(config_text(whole_own_config()), whole_own_config())
        raise UsageError(
            tr("only a terminal has an editor"),
            tr("glm config set NAME VALUE changes one; glm config path prints where the file is"),
        )
    from glmcli.config.written import all_unset

    path = path_to_write()
    before = config_text(path)
    edited = edited_text(before or all_unset(), path, Output(sys.stdout))
    if edited.rstrip("\n") in (before.rstrip("\n"), "" if before else all_unset().rstrip("\n")):
        print(tr("nothing was changed"))
        return
    put_edited(path, before, edited)
    print(tr("written: {path}", path=visible_line(str(path))))


def edited_text(
    text: str, path: Path, out: Output, check: Callable[[str, Path], object] | None = None
) -> str:
    """The text as the user leaves it, without a mistake. Raises UsageError, ConfigError.

    `check` raises a ConfigError for one; without it, the file is of settings.
    """
    from glmcli.cli.dialog import is_agreed
    from glmcli.config.written import check_text
    from glmcli.terminal.input.editor import edit_text

    while True:
        text = edit_text(text, out, name=path.name) + "\n"
        try:
            (check or check_text)(text, path)
        except ConfigError as exc:
            tell(exc.message)
            tell(exc.hint)
            if not is_agreed(tr("Edit it again? [y/N] ")):
                raise UsageError(tr("nothing was changed"), tr("the file is as it was")) from exc
        else:
            return text


def put_settings(values: Mapping[str, Any]) -> Path:
    """Put values, as `lasting` gives them, into the user's config.toml; returns its path.

    Raises ConfigError, StoreError.
    """
    from glmcli.config.written import with_value
    from glmcli.ours import one_at_a_time, write_private

    path = path_to_write()
    with one_at_a_time(path, tell):
        text = config_text(path)
        for name, value in values.items():
            text = with_value(text, path, name, value)
        write_private(path, text)
    return path


def path_to_write() -> Path:
    """The user's config.toml, there or not, after one of an earlier version was moved."""
    move_own_config(tell)
    if line := left_behind():
        tell(line)
    return whole_own_config()


def put_edited(path: Path, before: str, edited: str) -> None:
    """Put what the user made of the text `before` into the file, which may be another's by now.

    They are asked then, so that nobody's changes are lost unseen. What was not put there is in a
    file that is named. Raises UsageError, StoreError.
    """
    try:
        put_agreed(path, before, edited)
    except BaseException:  # Ctrl-C too
        with NamedTemporaryFile(
            "w", encoding="utf-8", suffix=f"-{path.name}", delete=False
        ) as file:
            file.write(edited)
        tell(tr("your text is in {path}", path=file.name))
        raise


def put_agreed(path: Path, before: str, edited: str) -> None:
    """Put a text into the file, after a question if it changed. Raises UsageError, StoreError."""
    from glmcli.cli.dialog import is_agreed
    from glmcli.ours import one_at_a_time, write_private

    while True:
        with one_at_a_time(path, tell):
            now = config_text(path)
            if now == before:
                write_private(path, edited)
                return
        tell(tr("{path} was changed while you edited it", path=path))
        if not is_agreed(tr("Put your text in its place? [y/N] ")):
            raise UsageError(tr("nothing was changed"), tr("the file is as others have left it"))
        before = now


def tell_what_goes_before(name: str) -> None:
    """Say that a value which was just written does not count here, if another goes before it."""
    source: Mapping[str, str] = {}
    try:
        source = load_settings({}, needed=()).sources
    except ConfigError as exc:
        tell(exc.message)
        return
    if (found := source.get("keys" if "." in name else name, TOML)) != TOML:
        tell(tr("here the value of {source} goes before it", source=found))
