"""The budgets of the house: a budget that is hit means that an idea wants a room of its own."""

from __future__ import annotations

import ast
import sys
from collections import defaultdict
from pathlib import Path

FUNCTION_LINES, FILE_LINES, FOLDER_MODULES, OWN_IMPORTS = 60, 400, 12, 15
WIDER = {"glmcli/engines/local/net": 15}
"""Folders that may hold more modules until they split."""


def broken() -> list[str]:
    """What is over a budget, a line each; prints the total."""
    found: list[str] = []
    classes, folders, total = defaultdict(list), defaultdict(int), 0
    for path in sorted(Path("glmcli").rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        lines, nodes = text.count("\n"), list(ast.walk(ast.parse(text)))
        total += lines
        folders[str(path.parent)] += path.name != "__init__.py"
        own = {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
        own = {name for name in own if name and name.split(".")[0] == "glmcli"}
        sizes = [(str(path), lines, FILE_LINES), (f"{path}: own imports", len(own), OWN_IMPORTS)]
        for node in nodes:
            if isinstance(node, ast.FunctionDef) and node.end_lineno:
                size = node.end_lineno - node.lineno + 1
                sizes.append((f"{path}: {node.name}", size, FUNCTION_LINES))
            elif isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                classes[node.name].append(str(path))
        found += [f"{what}: {size} of {most}" for what, size, most in sizes if size > most]
    for folder, size in folders.items():
        if size > (most := WIDER.get(folder, FOLDER_MODULES)):
            found.append(f"{folder}/: {size} modules of {most}")
    found += [f"class {name} twice: {paths}" for name, paths in classes.items() if paths[1:]]
    print(f"{total:,} lines, {sum(folders.values())} modules, {len(folders)} folders")
    return found


if __name__ == "__main__":
    problems = broken()
    print("\n".join(problems))
    sys.exit(bool(problems))
