"""The file map of README.md names the existing folders."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def mapped() -> list[Path]:
    """The folders that the map names."""
    folders, paths = {-2: ROOT}, []
    for line in README.partition("\n## The files\n")[2].partition("\n## ")[0].splitlines():
        if line:
            depth = len(line) - len(line.lstrip()) - 4
            folders[depth] = folders[depth - 2] / line.split()[0]
            paths.append(folders[depth])
    return paths


def test_every_name_in_the_file_map_exists():
    paths = mapped()
    assert ROOT / "glmcli/engines" in paths
    assert [path for path in paths if not path.exists()] == []
    assert len(paths) == len(set(paths))


def test_every_package_is_in_the_file_map():
    packages = {path.parent for path in ROOT.glob("glmcli/**/__init__.py")}
    assert sorted(packages - set(mapped())) == []
