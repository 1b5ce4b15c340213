"""The command line: options in, exit code out. The only place that exits.

Commands import what they need when they run, so that --help is quick.
"""

from __future__ import annotations

import errno
import re
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from io import TextIOWrapper
from types import FrameType
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperCommand, TyperGroup

from glmcli import __version__
from glmcli.cli.hints import check_typed, in_whole_line, usage_hint
from glmcli.cli.opening import Interrupted
from glmcli.cli.options import as_it_is, with_values
from glmcli.config import wants_traceback
from glmcli.encoding import TELLING, lacking
from glmcli.errors import GlmError, UsageError, error_lines
from glmcli.language import FOLDER, chinese_locale, later, tr

BY_NAME = {
    "history": "history_app",
    "models": "models_app",
    "roles": "roles_app",
    "config": "config_app",
    "bench": "bench",
    "chat": "chat",
    "ask": "ask",
    "serve": "serve",
    "ps": "kept.ps",
    "stop": "kept.stop",
}
"""What each command is called in the module of its name, or in another."""
TYPER = (
    later("Options"),
    later("Commands"),
    later("Arguments"),
    later("required"),
    later("default: {default}"),
)
"""Words of Typer's own that it passes through gettext."""
SENTENCES = {
    r"No such option: (?P<name>\S+)": later("No such option: {name}"),
    r"No such command (?P<name>'.*?')": later("No such command {name}"),
    r"Missing command": later("Missing command"),
    r"Missing argument (?P<name>'.+')": later("Missing argument {name}"),
    r"Option (?P<name>'.+') requires an argument": later("Option {name} requires an argument"),
    r"Option (?P<name>'.+') does not take a value": later("Option {name} does not take a value"),
    r"Got unexpected extra argument\(s\) \((?P<rest>.*)\)": later(
        "Got unexpected extra argument(s) ({rest})"
    ),
    r"Invalid value for (?P<name>.+): (?P<value>.+) is not one of (?P<others>.+)": later(
        "Invalid value for {name}: {value} is not one of {others}"
    ),
    r"Invalid value for (?P<name>.+): (?P<value>.+) is not a valid int.*": later(
        "Invalid value for {name}: {value} is not a whole number"
    ),
    r"Invalid value for (?P<name>.+): (?P<value>.+) is not in the range (?P<range>.+)": later(
        "Invalid value for {name}: {value} is not in the range {range}"
    ),
}
"""The forms of Typer's errors, which are English wherever they are raised."""
HELP = (
    later("Usage:"),
    later("Show this message and exit."),
    later("Install completion for the current shell."),
    later("Show completion for the current shell, to copy it or customize the installation."),
)
"""Words of Typer's help, which are English wherever it stands."""
UNCUT = 100_000
"""Columns in which no line of help is cut."""


def command_line(typed: str = "") -> typer.Typer:
    """The command line with the command that was typed, or else with all.

    To import one and to make its options takes several milliseconds.
    """
    app = typer.Typer(
        name="glm",
        help=tr("A terminal chat for language models that run on your own machine."),
        no_args_is_help=True,
        add_completion=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback(invoke_without_command=True)(root)
    for name in [typed] if typed in BY_NAME else BY_NAME:
        module, _, called = BY_NAME[name].rpartition(".")
        command = getattr(import_module(f"glmcli.cli.{module or name}"), called)
        if isinstance(command, typer.Typer):
            app.add_typer(command, name=name)
        else:
            app.command()(command)
    use_own_classes(app)
    if chinese_locale():
        translate_help(app)
    return app


def use_own_classes(typer_app: typer.Typer) -> None:
    """Let every command look at its options as `OwnCommand` does."""
    for group in typer_app.registered_groups:
        if group.typer_instance:
            use_own_classes(group.typer_instance)
    typer_app.info.cls = OwnGroup
    for command in typer_app.registered_commands:
        command.cls = OwnCommand


def root(
    version: Annotated[
        bool, typer.Option("--version", help=tr("show the version and exit"))
    ] = False,
) -> None:
    """Hold the options that come before a command."""
    if version:
        sys.stdout.write(f"glm {__version__}\n")
        raise typer.Exit


def translate_help(typer_app: typer.Typer) -> None:
    """Say the help of commands, and what Typer passes through gettext, in the user's language."""
    import gettext

    gettext.bindtextdomain("glm", FOLDER)
    gettext.textdomain("glm")
    for group in typer_app.registered_groups:
        if group.typer_instance:
            translate_help(group.typer_instance)
    typer_app.info.cls = HelpedGroup
    for command in typer_app.registered_commands:
        command.cls = HelpedCommand
        command.help = tr((command.callback.__doc__ or "").strip().split("\n")[0])


def in_words(lay_out: Callable[[Any], str], ctx: Any) -> str:
    """Help in the user's language throughout, its lines cut where they end on the screen.

    Typer lays it out and would cut by characters, of which a Chinese one takes two cells.
    """
    from glmcli.terminal.rows import hang  # it imports Rich

    columns = ctx.make_formatter().width
    ctx.terminal_width = UNCUT
    text = lay_out(ctx)
    for words in HELP:
        said = tr(words)
        text = text.replace(words, said)
        text = text.replace(f"{said} ", said) if said.endswith("：") else text
    return hang(text, columns)


class OwnCommand(TyperCommand):
    """A command that keeps what was typed, and lets no option take the next one for its value."""

    def get_short_help_str(self, limit: int = 0) -> str:
        """Its first sentence, whole: a list of commands breaks it between words."""
        return super().get_short_help_str(UNCUT)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """The arguments that are left. Raises UsageError."""
        check_typed(ctx, args)
        return super().parse_args(ctx, args)


class HelpedCommand(OwnCommand):
    """A command whose help is in the user's language."""

    def get_help(self, ctx: Any) -> str:
        """The help, laid out."""
        return in_words(super().get_help, ctx)


class OwnGroup(TyperGroup):
    """A group of commands, of which lists show the whole sentence too."""

    def get_short_help_str(self, limit: int = 0) -> str:
        """See `OwnCommand`."""
        return super().get_short_help_str(UNCUT)


class HelpedGroup(OwnGroup):
    """One whose help is in the user's language."""

    def get_help(self, ctx: Any) -> str:
        """The help, laid out."""
        return in_words(super().get_help, ctx)


def run(arguments: list[str]) -> int:
    """Run the command line; returns the exit code. Raises Killed, Interrupted, PipeClosed."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            is_piped = stream is sys.stdout and not stream.isatty()  # a terminal shows it at once
            stream.reconfigure(errors=TELLING if is_piped else "replace")
    if sys.stdout is None:
        return report(UsageError(tr("stdout is closed"), tr("redirect it to a file or a pipe")))
    try:
        if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
            signal.signal(signal.SIGINT, on_interrupt)
        if arguments[:1] in (["ask"], ["chat"], ["history"]):
            arguments = with_values(arguments)
        if arguments[:1] in (["ask"], ["chat"]):
            arguments = as_it_is(arguments)
        if arguments[:1] in (["--show-completion"], ["--install-completion"]):
            from glmcli.cli.completion.scripts import give_scripts

            if give_scripts(arguments[0], arguments[1:]):
                return 0
        app = command_line(arguments[0] if arguments else "")
        code = app(arguments, prog_name="glm", standalone_mode=False)
        if code == 128 + signal.SIGINT:  # how Typer reports KeyboardInterrupt
            raise Interrupted
        return code if isinstance(code, int) else 0
    except GlmError as exc:
        if exc.exit_code in (2, 3):
            exc.hint = in_whole_line(exc.meant, arguments) or exc.hint
        return report_of(exc, arguments)
    except Exception as exc:
        # Typer's usage errors; their class moved between its versions, so look at the shape.
        if not hasattr(exc, "format_message"):
            raise
        if type(exc).__name__ == "NoArgsIsHelpError":
            sys.stdout.write(f"{exc.format_message()}\n")
            return 0
        said = exc.format_message()
        if letter := str(getattr(exc, "option_name", None) or ""):
            words = (word.partition("=")[0] for word in arguments if not letter.startswith("--"))
            typed = next((word for word in words if word.startswith(letter)), letter)
            said = said.replace(f"option: {letter}", f"option: {typed}")
        wrong = UsageError(typer_says(said), usage_hint(exc, arguments))
        return report_of(wrong, arguments)


def typer_says(sentence: str) -> str:
    """An error of Typer's in the user's language; English where its form is not known."""
    # The names that it guesses by letters are left to the hint.
    sentence = re.sub(r" (?:\(Possible options: .+\)|Did you mean .+\?)$", "", sentence.strip())
    sentence = sentence.rstrip(".")
    for form, ours in SENTENCES.items():
        if found := re.fullmatch(form, sentence, re.DOTALL):
            return tr(ours, **found.groupdict())
    return sentence


def report_of(error: GlmError, arguments: list[str]) -> int:
    """Like `report`, and in JSON on stdout where a one-shot was to write that."""
    if arguments[:1] == ["ask"]:
        from glmcli.cli.dialog import fail_in_json

        with suppress(GlmError):  # of the two errors the first is told
            fail_in_json(error, arguments)
    return report(error)


def report(error: GlmError, cause: Exception | None = None) -> int:
    """Print an error's line and hint on stderr; returns its exit code."""
    if sys.stderr is not None:
        where = ""
        if wants_traceback():
            from glmcli.chat.bugs import traceback_of

            where = traceback_of(cause or error)
        from glmcli.cli.dialog import on_stderr

        with suppress(OSError):  # the exit code says it too
            text = where + on_stderr(error_lines(error))
            sys.stderr.write(text)
            sys.stderr.flush()
    return error.exit_code


def main() -> NoReturn:
    """The console script. Ends by the signal itself when one ended the program."""
    from glmcli.terminal.leaving import die_by, leave, raise_again
    from glmcli.terminal.output import PipeClosed
    from glmcli.terminal.signals import Killed

    sys.unraisablehook = raise_again
    threading.excepthook = tell_of_thread
    try:
        leave(ended())
    except (Interrupted, KeyboardInterrupt):
        die_by(signal.SIGINT)
    except PipeClosed:
        die_by(signal.SIGPIPE)
    except Killed as exc:
        die_by(exc.signum)


def tell_of_thread(args: threading.ExceptHookArgs) -> None:
    """Tell of a bug that ended a thread as of any other."""
    from glmcli.chat.bugs import internal_error

    if isinstance(args.exc_value, Exception):
        report(internal_error(args.exc_value), args.exc_value)


def ended() -> int:
    """Run what was typed; returns the exit code. Raises Killed, Interrupted, PipeClosed."""
    try:
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # Python ignores it, lists need it
        code = run(sys.argv[1:])
        if encoding := lacking():
            tell_lost(encoding)
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
    except Exception as exc:
        from glmcli.chat.bugs import internal_error

        error = internal_error(exc)
        if isinstance(exc, OSError) and exc.errno == errno.ENOSPC:
            error = GlmError(
                tr("the output cannot be written: {strerror}", strerror=exc.strerror),
                tr("make room for it"),
            )
        code = report(error, exc)
    return code


def tell_lost(encoding: str) -> None:
    """Say that stdout lacks characters of what was written."""
    from glmcli.cli.dialog import tell

    tell(
        tr(
            "stdout is {encoding}: what it has no letter for was written as ?; "
            "PYTHONIOENCODING=utf-8 writes everything",
            encoding=encoding,
        )
    )


def on_interrupt(signum: int, frame: FrameType | None) -> NoReturn:
    """Ctrl-C, where nothing else hears of it; a second one ends the program at once."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    raise KeyboardInterrupt
