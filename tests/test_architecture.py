"""Pages for contributors lead to what there is; what the program imports is declared."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = ("README.md", "README.zh.md", "CONTRIBUTING.md", "docs/architecture.md")
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


def canonical(name: str) -> str:
    """A distribution's name as all its spellings share it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def declared() -> set[str]:
    """Distributions that pyproject.toml asks for, with extras but without tools for tests."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    asked = project["dependencies"] + extras["quantize"] + extras["adapter"] + extras["gguf"]
    return {canonical(re.match(r"[\w.-]+", each)[0]) for each in asked}


BROUGHT = {"triton"}
"""What torch's builds for CUDA ask for, each for the very release that it works with."""


def imported() -> set[str]:
    """Packages that the program imports from others, at the top of a file or within."""
    found = set()
    for path in (ROOT / "glmcli").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                found.add(node.module.partition(".")[0])
    return found - sys.stdlib_module_names - {"glmcli"}


def test_whatever_is_imported_is_declared():
    owners = packages_distributions()
    for package in imported() - BROUGHT:
        names = {canonical(name) for name in owners.get(package, [package.replace("_", "-")])}
        assert names & declared(), package


def test_every_dependency_states_the_lowest_version_that_was_tried():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert [each for each in project["dependencies"] if ">=" not in each] == []


def test_that_the_package_is_typed_is_said():
    assert (ROOT / "glmcli" / "py.typed").exists()
