"""`glm config`: the settings and where they come from; which folders may decide more of them."""

from __future__ import annotations

import typer

from glmcli.cli.config.changing import changing
from glmcli.cli.config.trusting import trusting
from glmcli.cli.dialog import tell
from glmcli.cli.options import Load, with_settings
from glmcli.cli.tables import AsJson, cell, print_json, print_rows, print_text
from glmcli.config import SOURCES, own_config
from glmcli.config.settings import Settings
from glmcli.errors import ConfigError
from glmcli.language import later, tr
from glmcli.paths import absolute

config_app = typer.Typer(help=tr("Settings, and where they come from."), no_args_is_help=True)


@config_app.command("show")
@with_settings(needed=())
def config_show(settings: Settings, as_json: AsJson = False) -> None:
    """Show every setting, its value and source, and what was ignored."""
    ignored = settings.not_taken()
    if as_json:
        head = ("name", "value", "source", "ignored")
        found = [(*row, ignored.get(row[0], "")) for row in settings.rows()]
        print_json([dict(zip(head, row, strict=True)) for row in found])
    else:
        rows = [
            (
                name,
                value,
                cell("{source}; ignored: {what}", source=source_name(source), what=ignored[name])
                if name in ignored
                else source_name(source),
            )
            for name, value, source in settings.rows()
        ]
        print_rows((later("setting"), later("value"), later("source")), rows)
    for problem in filter(None, (settings.left_behind, *settings.problems)):
        tell(problem)


def source_name(source: str) -> str:
    """A source as a table names it."""
    return cell(SOURCES[source]) if source in SOURCES else source


@config_app.command("path")
@with_settings(needed=("home",))
def config_path(load: Load) -> None:
    """Print where config.toml is looked for."""
    try:
        path = load().config_file
    except ConfigError:  # of the file itself, which whoever asks may be about to correct
        path = own_config()
    print_text(str(absolute(path)))


config_app.add_typer(changing)
config_app.add_typer(trusting)
