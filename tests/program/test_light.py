"""The installation for people who only use servers: requirements-remote.txt and nothing else."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import tomllib
from importlib.metadata import distribution, packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from glmcli.models.libraries import FOR_MODELS_HERE
from tests.support.loopback import OK, Connection, Loopback
from tests.support.shell import Done, clean_env

ROOT = Path(__file__).parents[2]
LIGHT = ROOT / "requirements-remote.txt"
HEAVY = ("torch", "transformers", "tokenizers", "safetensors", "accelerate", "huggingface_hub")
MODELS_HERE = (
    ROOT / "glmcli/engines/gguf",
    ROOT / "glmcli/engines/local",
    ROOT / "glmcli/models",
)
"""The only folders whose code may need more."""
RUN = "import sys; sys.path[:0] = sys.argv[1].split(':'); del sys.argv[1]; {code}"
PROGRAM = "from glmcli.__main__ import main; main()"


def light() -> list[Requirement]:
    lines = LIGHT.read_text(encoding="utf-8").splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


def needed(requirements: list[Requirement]) -> set[str]:
    """The distributions that pip would install for these, in the versions that are here."""
    found: dict[str, set[str]] = {}
    left = list(requirements)
    while left:
        each = left.pop()
        if found.get(each.name, set()) >= each.extras and each.name in found:
            continue
        found[each.name] = found.get(each.name, set()) | each.extras
        for line in distribution(each.name).requires or ():
            inner = Requirement(line)
            if inner.marker is None or any(
                inner.marker.evaluate({"extra": extra}) for extra in (*found[each.name], "")
            ):
                left.append(inner)
    return set(found)


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """A folder for the import path with what requirements-remote.txt brings, and nothing else."""
    folder = tmp_path_factory.mktemp("site")
    for name in needed(light()):
        there = distribution(name)
        for top in {file.parts[0] for file in there.files or ()} - {"..", "__pycache__"}:
            if not (folder / top).exists():
                (folder / top).symlink_to(there.locate_file(top))
    return folder


@pytest.fixture
def run(site: Path, tmp_path: Path):
    """`run("ask", "-m", "echo:", "hi")`: the program where only that is installed."""

    def run_light(*arguments: str, code: str = PROGRAM, **env: str) -> Done:
        line = [sys.executable, "-I", "-S", "-c", RUN.format(code=code), f"{site}:{ROOT}"]
        done = subprocess.run(
            [*line, *arguments],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=clean_env(GLM_HOME=str(tmp_path / "home"), HOME=str(tmp_path), **env),
            stdin=subprocess.DEVNULL,
            timeout=60,
        )
        return Done(done.stdout, done.stderr, done.returncode)

    return run_light


@pytest.fixture
def server():
    def answer(connection: Connection) -> None:
        head = connection.requests[-1].partition(b"\r\n")[0]
        if b"/chat/completions" not in head:
            body = b'{"data": [{"id": "alpha"}]}'
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n")
            connection.send(b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
            return
        connection.send(OK)
        choice = {"index": 0, "delta": {"content": "forty-two"}, "finish_reason": "stop"}
        connection.chunk(f"data: {json.dumps({'choices': [choice]})}\n\n".encode())
        connection.chunk(b"data: [DONE]\n\n")
        connection.chunk(b"")

    with Loopback(answer) as loopback:
        yield loopback


def test_the_light_list_is_the_whole_one_without_what_models_here_need():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    left = [
        Requirement(line)
        for line in project["dependencies"]
        # pip fetches the built-in model.
        if Requirement(line).name not in (*FOR_MODELS_HERE, "pip")
    ]
    assert light() == left


def test_only_code_for_models_here_imports_more():
    ours = {each.name.lower() for each in light()}
    brought_by = packages_distributions()
    foreign = []
    for path in (ROOT / "glmcli").rglob("*.py"):
        if any(folder in path.parents for folder in MODELS_HERE):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            for top in {name.partition(".")[0] for name in names}:
                known = top == "glmcli" or top in sys.stdlib_module_names
                by = {name.lower().replace("_", "-") for name in brought_by.get(top, [])}
                if not known and not by & ours:
                    foreign.append(f"{path.relative_to(ROOT)}: {top}")
    # Typer's own library: it comes along.
    assert [line for line in foreign if not line.endswith(": click")] == []


@pytest.mark.parametrize("module", HEAVY)
def test_there_is_none_of_the_heavy_libraries(run, module: str):
    assert "ModuleNotFoundError" in run(code=f"import {module}").err


@pytest.mark.parametrize(
    "line",
    [
        "--help",
        "--version",
        "ask --help",
        "ask -m echo: hi",
        "chat --help",
        "chat -m echo: hi",
        "history list",
        "history list --all --json",
        "config show",
        "config set temperature 0.5",
        "config get temperature",
        "config set model org/name",
    ],
)
def test_what_needs_no_model_here_works(run, line: str):
    done = run(*line.split())
    assert (done.code, "Traceback" in done.err) == (0, False), done.err


def test_a_server_answers(run, server):
    url = f"{server.url}/v1"
    assert run("ask", "-m", "openai:", "--base-url", url, "hi").out == "forty-two\n"
    assert "alpha" in run("models", "list", "--base-url", url).out
    assert "hi" in run("history", "list", "--all").out


@pytest.mark.parametrize(
    "line",
    [
        "ask hi",
        "ask -m {folder} hi",
        "ask -m org/name hi",
        "models show smollm2",
        "models pull org/name",
        "models remove -y org/name",
    ],
)
def test_a_model_here_is_one_line_and_how_to_install_what_it_needs(run, tmp_path, line: str):
    done = run(*line.format(folder=tmp_path).split())
    said = done.err_lines
    assert (done.code, done.out) == (3, ""), done.err
    assert "torch" in said[-2] and "not installed" in said[-2]
    assert "pip install ./glm_chat-*.whl" in said[-1] and "openai:NAME" in said[-1]
    assert len(said) <= 3  # the demonstration model is told of before


def test_models_here_are_listed_and_what_they_need_is_said(run, tmp_path):
    (tmp_path / "home/models/mine").mkdir(parents=True)
    (tmp_path / "home/models/mine/config.json").write_text('{"model_type": "llama"}')
    done = run("models", "list", GLM_CACHE=str(tmp_path / "home"))
    assert (done.code, len(done.err_lines)) == (0, 1)
    assert "mine" in done.out
    assert "torch" in done.err and "pip install ./glm_chat-*.whl" in done.err


def test_the_lines_to_install_it_stand_in_the_readme():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"-r {LIGHT.name} && pip install --no-deps ./glm_chat-*.whl\n" in readme
    assert "    pip install -c constraints.txt ./glm_chat-*.whl\n" in readme


def test_what_is_no_model_is_said_to_be_that(run):
    assert "did you mean glm ask -m openai:x hi?" in run("ask", "-m", "opnai:x", "hi").err


def test_tab_completes_models(run):
    asked = {"COMP_WORDS": "glm ask -m o", "COMP_CWORD": "3", "_GLM_COMPLETE": "complete_bash"}
    assert "openai" in run(**asked).out
