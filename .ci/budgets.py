"""The budgets of the house: a budget that is hit means that an idea wants a room of its own."""

from __future__ import annotations

import ast
import sys
from collections import defaultdict
from pathlib import Path

FUNCTION_LINES, FILE_LINES, FOLDER_MODULES, OWN_IMPORTS, SHARED_NAMES = 60, 400, 12, 15, 10
WIDER = {"glmcli/engines/local/net": 15}
"""Folders that may hold more modules until they split."""


def broken() -> list[str]:
    """What is over a budget, a line each; prints the total."""
    found: list[str] = []
    classes, folders, total = defaultdict(list), defaultdict(int), 0
    homes: dict[str, set[str]] = defaultdict(set)
    for path in sorted(Path("glmcli").rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        lines, nodes = text.count("\n"), list(ast.walk(ast.parse(text)))
        total += lines
        folders[str(path.parent)] += path.name != "__init__.py"
        for name in public_names(ast.parse(text)):
            homes[name].add(str(path))
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
    shared = sorted(name for name, paths in homes.items() if len(paths) > 1)
    if len(shared) > SHARED_NAMES:
        found.append(f"{len(shared)} names have several homes: {', '.join(shared)}")
    print(f"{total:,} lines, {sum(folders.values())} modules, {len(folders)} folders")
    return found


def public_names(module: ast.Module) -> list[str]:
    """The functions, classes and constants that a module defines for others."""
    names: list[str] = []
    for node in module.body:
        match node:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                names.append(name)
            case ast.AnnAssign(target=ast.Name(id=name)):
                names.append(name)
            case ast.Assign(targets=targets):
                names += [target.id for target in targets if isinstance(target, ast.Name)]
    return [name for name in names if not name.startswith("_")]


if __name__ == "__main__":
    problems = broken()
    print("\n".join(problems))
    sys.exit(bool(problems))
