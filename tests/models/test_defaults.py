"""What a checkpoint states about its replies: all of it is followed, cannot matter, or is named."""

import json
from types import SimpleNamespace

import pytest
from transformers import GenerationConfig

from glmcli.models import defaults
from glmcli.models.defaults import Defaults, defaults_in
from glmcli.models.files import fields
from glmcli.models.files.folder import read_config


def test_every_field_that_transformers_knows_has_its_place():
    """A new release may bring one: then say here, in one of the tables, what becomes of it."""
    known = set(GenerationConfig().to_dict()) | set(GenerationConfig().__dict__)
    public = {name for name in known if not name.startswith("_")}
    assert public - defaults.KNOWN == set()


def test_each_field_has_one_place_only():
    tables = [defaults.SIMPLE, defaults.LIMITS, defaults.STEPS, defaults.NOT_FOLLOWED]
    tables += defaults.NO_MATTER.values()
    names = [name for table in tables for name in table]
    assert len(names) == len(set(names)) == len(defaults.KNOWN)


def test_what_is_followed_is_looked_at_before_it_is_used():
    followed = {*defaults.SIMPLE, *defaults.LIMITS, *defaults.STEPS}
    assert followed == set(fields.GENERATION)


@pytest.mark.parametrize("name", [*defaults.NOT_FOLLOWED, "an_invention_of_next_year"])
def test_what_is_not_followed_is_named(name):
    assert defaults_in({name: "x", "top_k": 5}).not_followed == (name,)
    for nothing in (None, *defaults.NOT_FOLLOWED.get(name, ())):
        assert defaults_in({name: nothing}) == Defaults()


@pytest.mark.parametrize("name", sorted(defaults.HARMLESS))
def test_what_cannot_matter_is_not_named(name):
    assert defaults_in({name: "x"}) == Defaults()


@pytest.mark.parametrize(("name", "nothing"), defaults.STEPS.items())
def test_a_value_that_changes_nothing_costs_nothing(name, nothing):
    assert defaults_in({name: nothing}) == Defaults()
    assert defaults_in({name: None}) == Defaults()


def test_one_stop_string_is_as_good_as_a_list():
    assert defaults_in({"stop_strings": "end"}).stop_strings == ("end",)
    assert defaults_in({"stop_strings": ["end", "."]}).stop_strings == ("end", ".")


def test_whole_numbers_may_be_written_with_a_point_where_generate_takes_them(tmp_path):
    stated = {"eos_token_id": [7.0, 8], "max_new_tokens": 5.0, "suppress_tokens": [3.0]}
    (tmp_path / "generation_config.json").write_text(json.dumps(stated))
    (tmp_path / "config.json").write_text('{"eos_token_id": 9}')
    read_config(tmp_path)
    checkpoint = SimpleNamespace(folder=tmp_path, family="llama", config={"eos_token_id": 9})
    found, ends = defaults.read_defaults(checkpoint)
    assert (found.max_new_tokens, found.steps) == (5, {"suppress_tokens": [3]})
    assert sorted(map(repr, ends)) == ["7", "8"]
    assert list(map(repr, defaults.ending_ids(7.0))) == ["7"]


@pytest.mark.parametrize(
    ("generation", "config", "expected"),
    [
        (None, {"eos_token_id": 9}, {9}),
        (None, {"eos_token_id": [8, 9], "text_config": {"vocab_size": 50}}, {8, 9}),
        (None, {"eos_token_id": 9, "text_config": {"eos_token_id": 8}}, {9}),
        (None, {"text_config": {"eos_token_id": 8}}, {8}),
        (None, {}, set()),
        ({"eos_token_id": [7]}, {"eos_token_id": [5, 6]}, {7}),
        ({"eos_token_id": 0}, {"eos_token_id": 9}, {0}),
        ({"eos_token_id": None}, {"eos_token_id": 9}, set()),
        ({"do_sample": True}, {"eos_token_id": 9}, set()),
    ],
)
def test_what_ends_a_reply_is_what_ends_it_for_generate(generation, config, expected, tmp_path):
    if generation is not None:
        (tmp_path / "generation_config.json").write_text(json.dumps(generation))
    checkpoint = SimpleNamespace(folder=tmp_path, family="llama", config=config)
    assert defaults.read_defaults(checkpoint)[1] == expected
    if generation is None:
        read = GenerationConfig.from_model_config(dict(config))
    else:
        read = GenerationConfig.from_pretrained(tmp_path)
    assert defaults.ending_ids(read.eos_token_id) == expected


def test_a_length_bounds_the_window_and_says_so():
    stated = defaults_in({"max_length": 4096})
    window, note = stated.within(8192)
    assert window == 4096
    assert "4,096" in note
    assert "--window 8192" in note
    assert stated.within(None)[0] == 4096
    assert stated.within(2048) == (2048, "")
    assert defaults_in({"max_length": 4096, "max_new_tokens": 512}).within(8192) == (8192, "")
    assert Defaults().within(8192) == (8192, "")
