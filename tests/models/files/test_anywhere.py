"""What no field may hold, whatever it is called and however deep it lies."""

from __future__ import annotations

import pytest

from glmcli.errors import ModelError
from glmcli.models.files.anywhere import check_code, check_lengths

REPOSITORY = "kernels-community/flash-attn3"


@pytest.mark.parametrize(
    ("config", "field"),
    [
        ({"attn_implementation": REPOSITORY}, "attn_implementation"),
        ({"_attn_implementation": "evil/kernel:forward"}, "_attn_implementation"),
        ({"_attn_implementation_internal": REPOSITORY}, "_attn_implementation_internal"),
        ({"experts_implementation": "org/x@main"}, "experts_implementation"),
        ({"attn_implementation": "paged|org/x"}, "attn_implementation"),
        ({"attn_implementation": {"text_config": REPOSITORY}}, "attn_implementation"),
        ({"text_config": {"attn_implementation": "org/x"}}, "text_config.attn_implementation"),
        ({"a": [{"b": {"experts_implementation": "o/x"}}]}, "a.0.b.experts_implementation"),
    ],
)
def test_code_that_would_be_fetched_from_the_hub_is_named(config, field):
    with pytest.raises(ModelError) as caught:
        check_code(config, "config.json")
    assert caught.value.message.startswith(f"config.json: {field} is ")
    assert "not the name of code that is installed, such as sdpa" in caught.value.message


@pytest.mark.parametrize(
    ("config", "field"),
    [
        ({"hybrid_override_pattern": "M" * 20_001}, "hybrid_override_pattern"),
        ({"a": {"b": [[0] * 20_001]}}, "a.b.0"),
    ],
)
def test_what_has_more_parts_than_any_net_has_layers_is_named(config, field):
    with pytest.raises(ModelError) as caught:
        check_lengths(config, "config.json")
    assert caught.value.message.startswith(f"config.json: {field} is ")
    assert "not a text or a list of at most 20,000" in caught.value.message


def test_layers_that_are_not_quantised_may_be_many():
    names = [f"model.layers.{number}" for number in range(50_000)]
    check_lengths({"quantization_config": {"ignore": names}, "a": [0] * 20_000}, "config.json")
