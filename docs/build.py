"""Write docs/cli.md and glmcli/help.txt from the program's own --help; --check: are they stale?"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).parent / "cli.md"
SHORT = Path(__file__).parent.parent / "glmcli" / "help.txt"
CHINESE = SHORT.with_name("help.zh_CN.txt")
COMMANDS = (
    "",
    "chat",
    "ask",
    "serve",
    "bench",
    "ps",
    "stop",
    "history",
    "history list",
    "history show",
    "history search",
    "history export",
    "history import",
    "history rename",
    "history delete",
    "history undelete",
    "history path",
    "models",
    "models list",
    "models show",
    "models pull",
    "models remove",
    "roles",
    "roles list",
    "roles show",
    "roles edit",
    "config",
    "config show",
    "config path",
    "config get",
    "config set",
    "config unset",
    "config edit",
    "config trust",
    "config untrust",
    "config trusted",
)


def help_of(command: str, columns: int, locale: str = "C.UTF-8") -> str:
    """What `glm COMMAND --help` prints."""
    argv = [
        sys.executable,
        "-c",
        "import sys; from glmcli.cli import run; sys.exit(run(sys.argv[1:]))",
    ]
    env = os.environ | {"COLUMNS": str(columns), "LC_ALL": locale, "LANGUAGE": ""}
    done = subprocess.run(
        [*argv, *command.split(), "--help"], env=env, capture_output=True, text=True, check=True
    )
    return "\n".join(line.rstrip() for line in done.stdout.rstrip().splitlines())


def page() -> str:
    """The whole page."""
    parts = ["# The command line", "", "Made from `--help` by `python docs/build.py`; not edited."]
    for command in COMMANDS:
        parts += ["", f"## glm {command}".rstrip(), "", "```text", help_of(command, 100), "```"]
    return "\n".join(parts) + "\n"


def main() -> int:
    """Write the files, or compare them."""
    files = {
        PAGE: page(),
        SHORT: help_of("", 80) + "\n",
        CHINESE: help_of("", 80, "zh_CN.UTF-8") + "\n",
    }
    stale = [path for path, text in files.items() if not path.exists() or path.read_text() != text]
    if "--check" in sys.argv:
        for path in stale:
            print(f"{path} is stale: run python docs/build.py", file=sys.stderr)
        return bool(stale)
    for path in stale:
        path.write_text(files[path], encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
