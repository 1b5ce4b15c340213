"""When transformers refuses a checkpoint, the field is named without which it would not."""

from __future__ import annotations

from pathlib import Path

import pytest

from glmcli.config import Settings
from glmcli.config.models import Cache, ModelOptions
from glmcli.engines.local.net.blame import blamed
from glmcli.engines.local.open import open_engine
from glmcli.errors import ModelError
from glmcli.models.checkpoint import Checkpoint, open_folder
from tests.hostile.healthy import write_llama
from tests.hostile.spoiling import with_field


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_llama(tmp_path / "tiny")


def refusal(folder: Path) -> ModelError:
    """Why it cannot be opened."""
    with pytest.raises(ModelError) as caught:
        open_engine(str(folder), Settings(cache=folder / "cache"), lambda progress: None)
    return caught.value


def checked(folder: Path) -> Checkpoint:
    return open_folder(folder, name="tiny", options=ModelOptions(cache=Cache(folder)))


@pytest.mark.parametrize(
    ("field", "value", "why"),
    [
        ("mlp_bias", 1.5, "Field 'mlp_bias' expected bool, got float (value: 1.5)"),
        ("hidden_act", "__import__", "transformers has no '__import__'"),
        ("hidden_size", None, "Field 'hidden_size' expected int, got NoneType"),
        ("layer_types", ["full_attention"], "`num_hidden_layers` (2) must be equal to the number"),
        ("rope_parameters", {"rope_type": "yarn"}, "Missing required keys"),
    ],
)
def test_a_field_of_the_net_is_named(folder, field, value, why):
    with_field("config.json", field, value)(folder)
    error = refusal(folder)
    assert error.message.startswith(f"config.json: {field} is {repr(value)[:40]}")
    assert why in error.message
    assert "config.json" in error.hint


def test_a_field_of_sampling_is_named(folder):
    with_field("generation_config.json", "cache_implementation", 0)(folder)
    found = refusal(folder).message
    assert found.startswith("generation_config.json: cache_implementation is 0: Invalid")


@pytest.mark.parametrize("value", [True, 1.5])
def test_an_error_that_has_another_cause_is_left_as_it_is(folder, value):
    with_field("config.json", "mlp_bias", value)(folder)
    error = ModelError("tiny cannot be loaded: the disk is on fire")
    assert blamed(checked(folder), error) is error
