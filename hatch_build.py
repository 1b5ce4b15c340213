"""Compile the catalogues of translations when the program is built or installed.

The format of a compiled catalogue (.mo) is that of GNU gettext: a header of seven numbers, a table
of (length, offset) for the sorted English texts, one for the translations, then the texts.
"""

from __future__ import annotations

import ast
import struct
import sys
from pathlib import Path
from typing import Any

try:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface
except ImportError:  # run by hand: python hatch_build.py
    BuildHookInterface = object

ROOT = Path(__file__).parent
CATALOGUES = "glmcli/locale/*/LC_MESSAGES/glm.po"


def entries(po: str) -> dict[str, str]:
    """English -> translation of a .po file, plural forms joined by NUL as in a .mo file.

    Entries that are fuzzy, obsolete or not translated are left out.
    """
    found: dict[str, str] = {}
    for block in po.split("\n\n"):
        parts: dict[str, str] = {}
        keyword = ""
        for line in block.splitlines():
            if line.startswith(("msg", '"')):
                word, _, text = ("", "", line) if line[0] == '"' else line.partition(" ")
                keyword = word or keyword
                parts[keyword] = parts.get(keyword, "") + ast.literal_eval(text)
        plurals = [text for word, text in parts.items() if word.startswith("msgstr")]
        if "\n#, fuzzy" not in f"\n{block}" and all(plurals) and plurals:
            english = "\0".join(filter(None, [parts["msgid"], parts.get("msgid_plural", "")]))
            found[english] = "\0".join(plurals)
    return found


def compiled(found: dict[str, str]) -> bytes:
    """A catalogue in gettext's binary form."""
    pairs = sorted((key.encode(), value.encode()) for key, value in found.items())
    tables, texts, at = [], b"", 28 + 16 * len(pairs)
    for column in (0, 1):
        for pair in pairs:
            tables += [len(pair[column]), at + len(texts)]
            texts += pair[column] + b"\0"
    header = (0x950412DE, 0, len(pairs), 28, 28 + 8 * len(pairs), 0, 0)
    return struct.pack(f"<{7 + len(tables)}I", *header, *tables) + texts


def compile_all(root: Path) -> list[Path]:
    """Compile every catalogue below `root`; returns the files that were written."""
    made = []
    for source in sorted(root.glob(CATALOGUES)):
        target = source.with_suffix(".mo")
        target.write_bytes(compiled(entries(source.read_text(encoding="utf-8"))))
        made.append(target)
    return made


class CustomBuildHook(BuildHookInterface):
    """What hatchling calls before it builds a wheel, an editable one too."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and add the compiled files to the wheel, though git ignores them."""
        root = Path(self.root)
        build_data["artifacts"] += [str(path.relative_to(root)) for path in compile_all(root)]


if __name__ == "__main__":
    sys.stdout.writelines(f"{path}\n" for path in compile_all(ROOT))
