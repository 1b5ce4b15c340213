"""Where the program starts. `glm --help` is printed from a file: importing Typer takes longer."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # built in, behind `signal`
import os
import sys

from glmcli import COMPLETION

HELP_FILE = __file__.removesuffix("__main__.py") + "help{}.txt"
"""Written by docs/build.py from the command line's own help, in each language."""
HELP_COLUMNS = 80
"""For which it is written. Typer makes no wider ones."""


def terminal_columns() -> int:
    """As shutil.get_terminal_size has them, which takes 5 ms to import."""
    stated = os.environ.get("COLUMNS", "")
    if stated.isdecimal() and int(stated):
        return int(stated)
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or HELP_COLUMNS
    except (OSError, ValueError):
        return HELP_COLUMNS


def main() -> None:
    """Run the command line."""
    # Nothing to save yet: end by Ctrl-C at once, without Python's traceback. `signal` itself takes
    # 3 ms to import, in which a traceback would still be shown.
    if _signal.getsignal(_signal.SIGINT) != _signal.SIG_IGN:
        _signal.signal(_signal.SIGINT, _signal.SIG_DFL)
    if os.environ.get(COMPLETION):
        import gc

        gc.disable()  # there is no time to collect what the end frees
        from glmcli.cli.completion.shells import answer_shell

        answer_shell()
    asked = sys.argv[1:] in ([], ["-h"], ["--help"]) and sys.stdout is not None
    if asked and terminal_columns() >= HELP_COLUMNS:
        from glmcli.language import chinese_locale

        try:
            name = HELP_FILE.format(".zh_CN" if chinese_locale() else "")
            with open(name, encoding="utf-8") as file:  # noqa: PTH123 (pathlib takes 5 ms)
                sys.stdout.write(file.read())
            sys.stdout.flush()
            return
        except OSError:
            pass  # the command line meets it again, and says so
    import gc

    # What the start makes is kept to the end: to look through it again and again takes 10 ms.
    gc.set_threshold(20_000)
    from glmcli import cli

    cli.main()


if __name__ == "__main__":
    main()
