"""What is said of a model that leaves for the same one: what differs, where that is known."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from glmcli.config import Settings
from glmcli.engines.kept.others import Others, lines_about, why_another
from glmcli.engines.kept.place import (
    KeptPlace,
    folder_to_use,
    kept_key,
    marks_of,
    read_about,
    read_marks,
    write_about,
)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    return tmp_path / "model"


@pytest.fixture
def settings(folder):
    return Settings(model=str(folder), cache=folder.parent, quantize="none")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"window": 9}, "another window"),
        ({"device": "cpu", "window": 9}, "another window, another device"),
        ({"quantize": "int4"}, "other bits"),
        ({"dtype": "float32"}, "other settings"),
        ({"speculate": True, "threads": 1, "quantize": "int8"}, "other bits, other settings"),
        ({"adapter": "/nowhere"}, "another adapter"),
    ],
)
def test_settings_of_loading_that_differ_are_named(settings, folder, changes, said):
    then = marks_of(replace(settings, **changes), folder)
    assert why_another(settings, folder, then) == f"it was loaded with {said}"


def test_files_that_have_changed_are_the_reason(settings, folder):
    then = marks_of(settings, folder)
    (folder / "tokenizer.json").touch()
    assert why_another(settings, folder, then) == "its files have changed"
    both = why_another(replace(settings, window=9), folder, then)
    assert both == "its files have changed, and it was loaded with another window"


def test_an_adapter_whose_files_have_changed_is_another_one(settings, folder, tmp_path):
    settings = replace(settings, adapter=str(tmp_path / "adapter"))
    then = marks_of(settings, folder)
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / "adapter_config.json").touch()
    assert why_another(settings, folder, then) == "it was loaded with another adapter"


def test_the_environment_and_the_version_are_named(settings, folder, monkeypatch):
    then = marks_of(settings, folder)
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.setattr("glmcli.engines.kept.place.__version__", "0")
    said = "it was loaded with another version, another environment"
    assert why_another(settings, folder, then) == said
    older = {name: then[name] for name in ("version", "window")}
    assert why_another(settings, folder, older) == "it was loaded with another version"


def test_bits_that_are_left_to_the_memory_are_named_where_nothing_else_differs(settings, folder):
    auto = replace(settings, quantize="auto")
    then = marks_of(settings, folder)
    assert why_another(auto, folder, then) == "it was loaded with other bits"
    assert "other bits" not in why_another(replace(auto, window=9), folder, then)


def test_where_nothing_is_known_of_it_all_that_may_differ_is_named(settings, folder):
    for then in ({}, marks_of(settings, folder)):
        said = why_another(settings, folder, then)
        assert said.startswith("it was loaded with another window, device, bits, version or env")
        assert said.endswith(", or its files have changed")


def test_of_the_one_that_left_it_is_looked_up_by_its_name(settings, folder):
    made = {"this": marks_of(replace(settings, window=9), folder)}
    found = Others([], ["this", "that"], [], made)
    assert lines_about(found, "this", lambda then: why_another(settings, folder, then)) == [
        "this has left the memory: it was loaded with another window",
        "that has left the memory for this model",
    ]


def test_what_it_was_made_of_is_written_down_without_the_settings(own_runtime, settings, folder):
    place = KeptPlace(folder_to_use(), kept_key(settings, folder))
    assert read_marks(place) == {}
    marks = marks_of(replace(settings, template="words"), folder)
    write_about(place, "echo:", 5, marks)
    assert read_marks(place) == marks
    assert read_about(place) == {"model": "echo:", "pid": 5}
    assert "words" not in place.about.read_text()
    place.about.write_text(json.dumps({"model": "echo:", "pid": 5}))
    assert read_marks(place) == {}
