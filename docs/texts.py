"""Keep the catalogues of translations complete: `python docs/texts.py` after a text was changed.

Collects every text that a user may see from the source, merges them into the .po files (new ones
empty, reworded ones marked fuzzy), and lists what has no translation yet, or blanks in the wrong
places. With --check it changes nothing; the exit code is 1 if something is missing or wrong.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "glmcli"
sys.path.insert(0, str(ROOT))

from hatch_build import CATALOGUES, compile_all, entries  # noqa: E402

CALLS = {"tr": 1, "later": 1, "cell": 1, "ntr": 2}
"""Function -> how many of its first arguments are English texts."""
CHANGING = tuple(
    f'"{name}'
    for name in ("POT-", "PO-", "Report-", "Last-Translator", "Language-Team", "Generated-By")
)
"""Headers that differ from one run to the next, or say nothing here."""

CHINESE, MARKS = "\u3400-\u4dbf\u4e00-\u9fff", "，。、；：？！（）《》「」"
MISSPACED = re.compile(
    f"[{CHINESE}][A-Za-z0-9]|[A-Za-z0-9%][{CHINESE}]|[^ \n] [{MARKS}]|[{MARKS}] [^ \n]"
)
"""A blank stands between Chinese and Latin text, and none beside marks of full width. Of what a
placeholder stands for only its sentence knows."""


def texts() -> dict[tuple[str, ...], list[tuple[str, int]]]:
    """Every text (or singular and plural) -> the files and lines where it stands."""
    found: dict[tuple[str, ...], list[tuple[str, int]]] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(ROOT).as_posix()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            for text in texts_of(node):
                found.setdefault(text, []).append((name, node.lineno))
    return found


def texts_of(node: ast.AST) -> Iterator[tuple[str, ...]]:
    """The texts that a call, or a function that is a command, gives a user to read."""
    if isinstance(node, ast.Call):
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        words = [arg for arg in node.args[: CALLS.get(name, 0)] if isinstance(arg, ast.Constant)]
        if words:
            yield tuple(word.value for word in words)
        elif name == "setting":
            yield (ast.literal_eval(node.args[1]),)
    elif isinstance(node, ast.FunctionDef) and any(map(is_command, node.decorator_list)):
        yield ((ast.get_docstring(node) or "").split("\n")[0],)


def is_command(decorator: ast.expr) -> bool:
    """Whether a decorator makes a command of a function, whose docstring is then its help."""
    call = decorator.func if isinstance(decorator, ast.Call) else decorator
    name = getattr(call, "id", "") or getattr(call, "attr", "")
    return name in ("command", "callback", "with_settings", "without_settings")


def missing() -> dict[Path, list[str]]:
    """What each catalogue lacks, and what it holds that nobody says any more."""
    said = {"\0".join(text) for text in texts()}
    lacking = {}
    for path in sorted(ROOT.glob(CATALOGUES)):
        known = set(entries(path.read_text(encoding="utf-8"))) - {""}
        lacking[path] = [f"missing: {text!r}" for text in sorted(said - known)]
        lacking[path] += [f"left over: {text!r}" for text in sorted(known - said)]
    return lacking


def misspaced() -> dict[Path, list[str]]:
    """Chinese translations without a blank beside Latin words, or with one beside their marks."""
    found = {}
    for path in sorted(ROOT.glob(CATALOGUES)):
        said = entries(path.read_text(encoding="utf-8"))
        del said[""]
        found[path] = [f"blanks: {text!r}" for text in said.values() if MISSPACED.search(text)]
    return found


def update() -> None:
    """Merge the texts of the source into the catalogues, and compile them."""
    from babel.messages.catalog import Catalog
    from babel.messages.pofile import read_po, write_po

    template = Catalog()
    for text, places in texts().items():
        template.add(text if len(text) > 1 else text[0], locations=places)
    for path in sorted(ROOT.glob(CATALOGUES)):
        with path.open("rb") as file:
            catalogue = read_po(file, locale=path.parts[-3])
        catalogue.update(template)
        catalogue.obsolete.clear()
        written = BytesIO()
        write_po(written, catalogue, width=100, sort_output=True, no_location=True)
        lines = written.getvalue().decode("utf-8").splitlines(keepends=True)
        kept = [line for line in lines if not line.startswith(CHANGING)]
        path.write_text("".join(kept), encoding="utf-8")
    compile_all(ROOT)


def main() -> int:
    """Update, or check; list what is missing."""
    if "--check" not in sys.argv:
        update()
    wrong = [*missing().items(), *misspaced().items()]
    lines = [f"{path.parts[-3]}: {line}" for path, found in wrong for line in found]
    sys.stdout.writelines(f"{line}\n" for line in lines)
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
