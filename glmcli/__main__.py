"""Where the program starts. `glm --help` is printed from a file: importing Typer takes longer."""

from __future__ import annotations

import sys

HELP_FILE = __file__.removesuffix("__main__.py") + "help.txt"
"""Written by docs/build.py from the command line's own help."""


def main() -> None:
    """Run the command line."""
    if sys.argv[1:] in ([], ["-h"], ["--help"]) and sys.stdout is not None:
        try:
            with open(HELP_FILE, encoding="utf-8") as file:  # noqa: PTH123 (pathlib takes 5 ms)
                sys.stdout.write(file.read())
            sys.stdout.flush()
            return
        except OSError:
            pass  # the command line meets it again, and says so
    import signal

    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # nothing to save yet: end by it at once
    from glmcli import cli

    cli.main()


if __name__ == "__main__":
    main()
