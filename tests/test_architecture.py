"""Links of the pages for contributors lead to files, and to what is in them."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = ("README.md", "CONTRIBUTING.md", "docs/architecture.md")
LINK = re.compile(r"\[[^\]]*\]\(([^):]+)\)")
NAMED = re.compile(r"`((?:glmcli|tests|docs)/[\w./]+)`")


def links(page: str) -> list[str]:
    """Where the links of a page lead in this repository, as path or path#Symbol."""
    return LINK.findall((ROOT / page).read_text(encoding="utf-8"))


def is_defined(path: Path, name: str) -> bool:
    """Whether a Python file defines a name, or a class of it: "Session.ask"."""
    body = ast.parse(path.read_text(encoding="utf-8")).body
    for part in name.split("."):
        found = [node for node in body if part in names_of(node)]
        if not found:
            return False
        body = getattr(found[0], "body", [])
    return True


def names_of(node: ast.stmt) -> list[str]:
    """What a statement defines."""
    match node:
        case ast.FunctionDef() | ast.ClassDef():
            return [node.name]
        case ast.AnnAssign(target=ast.Name(id=name)):
            return [name]
        case ast.Assign():
            return [target.id for target in node.targets if isinstance(target, ast.Name)]
    return []


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_to_an_existing_file_and_symbol(page):
    found = links(page)
    assert found
    for link in found:
        name, _, symbol = link.partition("#")
        path = (ROOT / page).parent / name
        assert path.exists(), link
        assert not symbol or is_defined(path, symbol), link


@pytest.mark.parametrize("page", PAGES)
def test_every_path_that_is_named_exists(page):
    named = NAMED.findall((ROOT / page).read_text(encoding="utf-8"))
    assert [name for name in named if not (ROOT / name).exists()] == []
