"""The tests mirror the program, share named material only, and look at nothing private."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from glmcli.chat.commands import COMMANDS

ROOT = Path(__file__).parent.parent
TESTS = ROOT / "tests"
ELSEWHERE = {"program", "hostile", "bench"}
"""Folders whose files stand for no module: the whole program, corpora, measurements."""
ABOUT_THE_REPOSITORY = {"readme", "guide", "architecture", "house"}
OPEN = {"_exit"}
"""Names of the standard library that only look private."""


def modules_beside(folder: Path) -> set[str]:
    """Names that a test file in a folder may begin with: its modules, folders and itself."""
    there = ROOT / "glmcli" / folder
    return {path.stem for path in there.iterdir()} | {there.name}


def test_every_test_file_is_named_after_a_module_beside_which_it_stands():
    odd = []
    for path in sorted(TESTS.rglob("test_*.py")):
        folder, name = path.parent.relative_to(TESTS), path.stem.removeprefix("test_")
        if folder.parts[:1] and folder.parts[0] in ELSEWHERE:
            continue
        names = modules_beside(folder) | (set() if folder.parts else ABOUT_THE_REPOSITORY)
        if not any(name == known or name.startswith(f"{known}_") for known in names):
            odd.append(str(path.relative_to(ROOT)))
    assert odd == []


def test_no_test_file_imports_another():
    for path in TESTS.rglob("*.py"):
        for node in ast.walk(parsed(path)):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            assert not any(".test_" in f".{name}" for name in names), path


def test_nothing_private_is_looked_at():
    assert [f"{path.name}: {name}" for path in TESTS.rglob("*.py") for name in private(path)] == []


def test_nobody_else_writes_what_a_session_or_a_conversation_holds():
    outside = [
        path
        for path in (ROOT / "glmcli").rglob("*.py")
        if path.name not in ("session.py", "types.py")
        and path.parent.name not in ("store", "conversation")
    ]
    assert [f"{path.name}: {text}" for path in outside for text in written(path)] == []


def test_a_command_is_named_only_where_commands_run():
    """Elsewhere a text that names one is worded by who knows whether they do."""
    chat = {"chat", "input"}
    paths = [
        path
        for path in (ROOT / "glmcli").rglob("*.py")
        if not chat & set(path.relative_to(ROOT).parts)
    ]
    assert [f"{path.name}: {text}" for path in paths for text in naming_commands(path)] == []


def naming_commands(path: Path) -> Iterator[str]:
    """The texts for the user that name a command of the chat wherever they are said."""
    names = re.compile(rf"(?<![\w/.]) ?/({'|'.join(COMMANDS)})\b")
    knowing: set[ast.AST] = set()
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.FunctionDef) and (
            node.name == "how_it_ended" or "commands" in {arg.arg for arg in node.args.kwonlyargs}
        ):
            knowing |= set(ast.walk(node))
        if isinstance(node, ast.keyword) and node.arg == "in_chat":
            knowing |= set(ast.walk(node))
        if (
            node not in knowing
            and isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in ("tr", "ntr", "later")
        ):
            for item in ast.walk(node):
                if isinstance(item, ast.Constant) and names.search(str(item.value)):
                    yield str(item.value)


def written(path: Path) -> Iterator[str]:
    """Attributes of a session or a conversation that a file assigns, appends to or deletes."""
    held = re.compile(r"(?:.*\.)?(?:session|conversation)\.[\w.]+")
    for node in ast.walk(parsed(path)):
        targets: list[ast.expr] = []
        match node:
            case ast.Assign(targets=targets) | ast.Delete(targets=targets):
                pass
            case ast.AugAssign(target=target):
                targets = [target]
            case ast.Call(func=ast.Attribute(value=ast.Attribute() as value, attr=name)):
                targets = [value] if name in ("append", "extend", "clear", "pop") else []
        yield from (text for each in targets if held.fullmatch(text := ast.unparse(each)))


def private(path: Path) -> Iterator[str]:
    """Attributes with an underscore that are read of anything but the object itself."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Attribute) and node.attr.startswith("_"):
            is_own = isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
            if not is_own and not node.attr.startswith("__") and node.attr not in OPEN:
                yield f"line {node.lineno}: {node.attr}"


def parsed(path: Path) -> ast.Module:
    """A file as Python reads it."""
    return ast.parse(path.read_text(encoding="utf-8"))


def test_only_one_place_asks_the_system_where_a_relative_path_starts():
    """Where the working folder was deleted the answer fails, which `paths.absolute` says."""
    asks = re.compile(r"(?<!files)\.(resolve|absolute|cwd|getcwd|realpath|abspath)\(")
    allowed = {
        "glmcli/cli/serve/running.py",
        "glmcli/paths.py",
        "glmcli/machine.py",
        "glmcli/engines/local/prompt/apart.py",
    }
    found = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "glmcli").rglob("*.py")
        if any(asks.search(line) for line in path.read_text().splitlines())
    }
    assert found - allowed == set()
