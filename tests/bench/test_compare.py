"""bench/compare.py without a model: turns, ratios, tables, bars, and the peers' protocol."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree

import pytest

FOLDER = Path(__file__).parents[2] / "bench"
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch):
    """`load("tasks")`: a script of bench/, which is no package."""
    monkeypatch.syspath_prepend(str(FOLDER))
    before = set(sys.modules)

    def found(name: str) -> ModuleType:
        return importlib.import_module(name)

    yield found
    own = {path.stem for path in FOLDER.glob("*.py")}
    for name in (set(sys.modules) - before) & own:
        del sys.modules[name]


@pytest.fixture
def setup(load, tmp_path):
    return load("peers").Setup("echo:", tmp_path, tmp_path, None)


def test_every_round_asks_everyone_and_turns_the_order_round(load):
    tasks = load("tasks")
    asked = []

    def run(name):
        return lambda number: asked.append((number, name)) or float(number)

    measured = tasks.Measured("t", "s")
    tasks.in_turns(measured, 3, {"a": run("a"), "b": run("b")})
    assert asked == [(0, "a"), (0, "b"), (1, "b"), (1, "a"), (2, "a"), (2, "b")]
    assert measured.values == {"a": [0.0, 1.0, 2.0], "b": [0.0, 1.0, 2.0]}


def test_who_fails_is_left_out_and_named(load, capsys):
    tasks, peers = load("tasks"), load("peers")

    def fail(number):
        if number:
            raise peers.PeerFailed("gone")
        return 1.0

    measured = tasks.Measured("t", "s", pairs=[("a", "b")])
    tasks.in_turns(measured, 3, {"a": lambda number: 2.0, "b": fail})
    assert measured.values == {"a": [2.0, 2.0, 2.0]}
    assert measured.ratios() == []
    assert "b left out: gone" in capsys.readouterr().err


def test_a_ratio_is_the_median_of_the_rounds_ratios(load, capsys):
    tasks, compare = load("tasks"), load("compare")
    values = {"glm": [30.0, 3.0, 33.0], "other": [10.0, 2.0, 30.0]}
    measured = tasks.Measured("decode", "tok/s", values, [("glm", "other")])
    assert measured.medians() == {"glm": 30.0, "other": 10.0}
    assert measured.ratios() == [("glm", "other", 1.5)]
    compare.shown(measured)
    lines = capsys.readouterr().out.splitlines()
    assert "| glm | 30.000 | 3.000 | 33.000 |" in lines
    assert "| glm / other | **1.50** | | |" in lines


def test_each_glm_is_compared_with_all_others_and_once_with_itself(load):
    pairs = load("tasks").against_glm(["glm", "glm:int8", "serve"])
    assert pairs == [("glm", "serve"), ("glm:int8", "glm"), ("glm:int8", "serve")]


def test_a_bar_is_as_long_as_its_number(load):
    page = load("bars").bar_plot("<t>", "s", [("decode", [("glm", 40.0), ("<peer>", 10.0)])])
    root = ElementTree.fromstring(page)
    bars = [item for item in root.iter(f"{SVG}rect") if "mark" in item.get("class", "")]
    one, other = (float(item.get("width")) for item in bars)
    assert one == pytest.approx(4 * other)
    texts = [item.text for item in root.iter(f"{SVG}text")]
    assert {"<t>", "decode", "glm", "<peer>", "40", "10"} <= set(texts)


def test_a_peer_in_a_process_of_its_own_answers_with_its_times(load, setup):
    peers = load("peers")
    options = {"model": "echo:delay=0.02"}
    with peers.child("glm", sys.executable, "engine", options, setup) as peer:
        answer = peer.ask([peers.user("one two three four five six")], 5)
        assert answer.text.split() == ["one", "two", "three", "four", "five"]
        assert answer.decode_tokens == 4
        assert 20 < answer.tokens_per_s < 50.5
        assert answer.first_s >= 0.02
        with pytest.raises(peers.PeerFailed, match="gave no token"):
            peer.ask([peers.user("")], 5)


def test_a_peer_that_does_not_start_is_named(load, setup):
    peers = load("peers")
    with (
        pytest.raises(peers.PeerFailed, match="glm: there is no folder"),
        peers.child("glm", sys.executable, "engine", {"model": "./nowhere"}, setup),
    ):
        pass


def test_a_wrong_name_is_refused_before_anything_starts(load, monkeypatch, capsys):
    compare = load("compare")
    for option, name in (("--peers", "glm,ollama"), ("--tasks", "decode,sleep")):
        monkeypatch.setattr(sys, "argv", ["compare.py", option, name])
        with pytest.raises(SystemExit) as caught:
            compare.arguments()
        assert caught.value.code == 2
        assert "there is no" in capsys.readouterr().err


@pytest.mark.model
def test_the_texts_have_as_many_tokens_as_was_asked_for(load):
    tasks, peers = load("tasks"), load("peers")
    from tokenizers import Tokenizer

    from glmcli.config import load_settings
    from glmcli.models.checkpoint import find_checkpoint

    folder = find_checkpoint(
        "smollm2", load_settings({}).model_options, lambda progress: None
    ).folder
    text = tasks.text_of(3000, peers.Setup("smollm2", folder, folder, None))
    size = len(Tokenizer.from_file(str(folder / "tokenizer.json")).encode(text).ids)
    assert 2970 <= size <= 3030
