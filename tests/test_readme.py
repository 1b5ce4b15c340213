"""README.md names the existing folders, README.zh.md the same commands; a release has both."""

from __future__ import annotations

import re
import tomllib
from fnmatch import fnmatch
from pathlib import Path

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
CHINESE = (ROOT / "README.zh.md").read_text(encoding="utf-8")
PAGES = (ROOT / "README.md", ROOT / "README.zh.md", *sorted(ROOT.glob("docs/guide/*/*.md")))
LINK = re.compile(r"\]\(([^):#]+)")


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


def test_the_chinese_readme_has_the_commands_of_the_english_one_or_of_the_guide():
    guide = "".join(path.read_text(encoding="utf-8") for path in ROOT.glob("docs/guide/zh/*.md"))
    lines = re.findall(r"^    ((?:pip|uv|pipx|export|modelscope) .*)", CHINESE, re.MULTILINE)
    assert len(lines) > 10
    assert [line for line in lines if f"{line}\n" not in README + guide] == []


def test_the_sources_of_a_release_have_all_that_the_pages_for_people_lead_to():
    targets = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]
    patterns = [each.lstrip("/") for each in targets["build"]["targets"]["sdist"]["include"]]
    linked = {
        (page.parent / link).resolve()
        for page in PAGES
        for link in LINK.findall(page.read_text(encoding="utf-8"))
    }
    assert {"README.zh.md", "session.svg", "files.svg"} <= {path.name for path in linked}
    assert [path for path in linked if not path.exists()] == []
    tops = {path.relative_to(ROOT).parts[0] for path in linked | set(mapped()) | set(PAGES)}
    assert [top for top in tops if not any(fnmatch(top, each) for each in patterns)] == []
