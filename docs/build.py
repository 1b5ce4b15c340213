"""Write docs/cli.md from the program's own --help; with --check, fail if it is stale."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).parent / "cli.md"
COMMANDS = (
    "",
    "chat",
    "ask",
    "history",
    "history list",
    "history show",
    "history search",
    "history export",
    "history import",
    "history rename",
    "history delete",
    "history path",
    "models",
    "models list",
    "models show",
    "models pull",
    "models remove",
    "config",
    "config show",
    "config path",
)


def help_of(command: str) -> str:
    """What `glm COMMAND --help` prints, 100 columns wide."""
    argv = [sys.executable, "-m", "glmcli", *command.split(), "--help"]
    env = os.environ | {"COLUMNS": "100", "LC_ALL": "C.UTF-8"}
    done = subprocess.run(argv, env=env, capture_output=True, text=True, check=True)
    return "\n".join(line.rstrip() for line in done.stdout.rstrip().splitlines())


def page() -> str:
    """The whole page."""
    parts = ["# The command line", "", "Made from `--help` by `python docs/build.py`; not edited."]
    for command in COMMANDS:
        parts += ["", f"## glm {command}".rstrip(), "", "```text", help_of(command), "```"]
    return "\n".join(parts) + "\n"


def main() -> int:
    """Write the page, or compare it."""
    text = page()
    if "--check" in sys.argv:
        if PAGE.read_text(encoding="utf-8") == text:
            return 0
        print("docs/cli.md is stale: run python docs/build.py", file=sys.stderr)
        return 1
    PAGE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
