"""The file map of README.md names what is there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def mapped() -> Iterator[Path]:
    """What the map names: files, and folders; these stand for their `__init__.py`, too."""
    folders = {-2: ROOT}
    for line in README.partition("\n## The files\n")[2].partition("\n## ")[0].splitlines():
        if line:
            depth = len(line) - len(line.lstrip()) - 4
            for name in line.strip().partition("  ")[0].split(", "):
                path = folders[depth - 2] / name
                if name.endswith("/"):
                    folders[depth] = path
                yield path


def test_every_name_in_the_file_map_exists():
    paths = list(mapped())
    assert ROOT / "glmcli/engines/local.py" in paths
    assert [path for path in paths if not path.exists()] == []
    assert len(paths) == len(set(paths))


def test_every_module_is_in_the_file_map():
    modules = {
        path.parent if path.name == "__init__.py" else path for path in ROOT.glob("glmcli/**/*.py")
    }
    assert sorted(modules - set(mapped())) == []
