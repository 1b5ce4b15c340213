"""What config.json and its kin may say: wrong values are named, real ones are left alone."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from glmcli.errors import ModelError
from glmcli.models.files import fields


def refusal(table: fields.FieldTable, **values: Any) -> str:
    with pytest.raises(ModelError) as caught:
        fields.check(values, table, "a.json")
    assert "download the model again" in caught.value.hint
    assert "\n" not in caught.value.message
    return caught.value.message


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("architectures", 5, "is 5, not a list of at most 10,000 names"),
        ("architectures", [5], "is [5], not a list of at most 10,000 names"),
        ("num_hidden_layers", 1.5, "is 1.5, not a whole number from 1 to 10,000"),
        ("num_hidden_layers", 10**5, "is 100000, not a whole number from 1 to 10,000"),
        ("num_hidden_layers", True, "is True, not a whole number"),
        ("max_position_embeddings", -3, "is -3, not a number from 1 to 1e+09"),
        ("rms_norm_eps", math.nan, "is nan, not a number from 0 to 1"),
        ("rope_theta", 0, "is 0, not a number above 0"),
        ("model_type", "a\nb", r"is 'a\nb', not a name"),
        ("model_type", "x" * 1_000, "…, not a name"),
        ("eos_token_id", ["x"], "is ['x'], not the id of a token, or a list of at most 1,000"),
        ("eos_token_id", [1] * 1_001, "…, not the id of a token, or a list of at most 1,000"),
        ("max_position_embeddings", 1e12, "is 1000000000000.0, not a number from 1 to 1e+09"),
        ("sliding_window", 10**12, "is 1000000000000, not a whole number from 0 to 1,000,000,000"),
        ("layer_types", ["a"] * 10_001, "…, not a list of at most 10,000 names"),
        ("num_key_value_heads", [1] * 10_001, "from 1 to 100,000, or a list of at most 10,000"),
        ("num_attention_heads", [], "is [], not a whole number from 1 to 100,000, or a list"),
        ("tie_word_embeddings", "x", "is 'x', not true or false"),
        ("quantization_config", 5, "is 5, not an object"),
        ("return_dict", "x", "is 'x', not true or false"),
        ("output_hidden_states", "x", "is 'x', not true or false"),
        ("is_encoder_decoder", "x", "is 'x', not true or false"),
        ("base_model_tp_plan", 5, "is 5, not an object"),
        ("id2label", [], "is [], not an object"),
        ("num_labels", 10**9, "is 1000000000, not a whole number from 0 to 1,000,000"),
        ("attention_dropout", 5, "is 5, not a number from 0 to 1"),
        ("attention_chunk_size", "x", "is 'x', not a whole number"),
        ("auto_map", {"AutoConfig": 5}, "is {'AutoConfig': 5}, not an object of names"),
    ],
)
def test_a_wrong_field_is_named_with_its_value(field, value, said):
    message = refusal(fields.CONFIG, **{field: value})
    assert message.startswith(f"a.json: {field} is ")
    assert said in message


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"rope_parameters": []}, "rope_parameters is [], not an object"),
        ({"rope_scaling": {"factor": "x"}}, "rope_scaling.factor is 'x', not a number above 0"),
        (
            {"rope_parameters": {"full_attention": {"rope_theta": -1}}},
            "rope_parameters.full_attention.rope_theta is -1",
        ),
        (
            {"rope_scaling": {"factor": 1e300}},
            "rope_scaling.factor is 1e+300, not a number above 0, and 1,000,000 at most",
        ),
        (
            {"rope_scaling": {"original_max_position_embeddings": 1e300}},
            "rope_scaling.original_max_position_embeddings is 1e+300, not a number from 1",
        ),
        ({"text_config": {"hidden_size": "x"}}, "text_config.hidden_size is 'x', not a whole"),
        ({"text_config": {"rope_scaling": 5}}, "text_config.rope_scaling is 5, not an object"),
    ],
)
def test_a_wrong_field_is_found_below_others(config, said):
    with pytest.raises(ModelError) as caught:
        fields.check_config(config)
    assert caught.value.message.startswith(f"config.json: {said}")


@pytest.mark.parametrize("word", ["load", "hub", "no such", "torch.float16", "Tensor"])
@pytest.mark.parametrize("part", ["", "text_config", "vision_config"])
def test_a_number_format_that_is_none_is_named(word, part):
    config = {"dtype": word}
    with pytest.raises(ModelError, match=r"dtype is '.*', not a number format such as bfloat16"):
        fields.check_config({part: config} if part else config)


@pytest.mark.parametrize(
    ("table", "field", "value", "said"),
    [
        (fields.GENERATION, "temperature", "x", "is 'x', not a number of 0 or more"),
        (fields.GENERATION, "top_p", 5, "is 5, not a number from 0 to 1"),
        (fields.GENERATION, "do_sample", "x", "not true or false"),
        (fields.GENERATION, "eos_token_id", [1] * 1_001, "or a list of at most 1,000"),
        (fields.GENERATION, "eos_token_id", 7.5, "is 7.5, not the id of a token"),
        (fields.GENERATION, "eos_token_id", math.inf, "is inf, not the id of a token"),
        (fields.GENERATION, "eos_token_id", 1e300, "not the id of a token"),
        (fields.GENERATION, "max_new_tokens", 0.0, "is 0.0, not a whole number"),
        (fields.CONFIG, "eos_token_id", 7.0, "is 7.0, not the id of a token"),
        (fields.GENERATION, "stop_strings", ["a"] * 1_001, "a text, or a list of at most 1,000"),
        (fields.GENERATION, "suppress_tokens", [1] * 20_001, "not a list of at most 20,000 ids"),
        (fields.GENERATION, "bad_words_ids", [[1]] * 20_001, "not lists of at most 20,000 ids"),
        (fields.GENERATION, "bad_words_ids", [[1] * 15_000] * 2, "not lists of at most 20,000 ids"),
        (fields.GENERATION, "sequence_bias", [[[1] * 15_000, 1.0]] * 2, "of at most 20,000 ids"),
        (fields.TOKENIZER, "model_max_length", "abc", "is 'abc', not a number of 0 or more"),
        (fields.TOKENIZER, "chat_template", [5], "is [5], not a template of at most 1,000,000"),
        (fields.TOKENIZER, "chat_template", "x" * 2_000_000, "not a template of at most"),
        (fields.TOKENIZER, "eos_token", {"content": 5}, "not the text of a token"),
        (fields.TOKENIZER, "bos_token", "ab" * 501, "of a token, of at most 1,000 letters"),
        (fields.TOKENIZER, "pad_token", {"content": "x" * 1_001}, "at most 1,000 letters"),
        (fields.TOKENIZER, "extra_special_tokens", ["x" * 1_001], "at most 1,000 letters"),
        (fields.TOKENIZER, "extra_special_tokens", {"a": "x" * 1_001}, "at most 1,000 letters"),
        (fields.TOKENIZER, "added_tokens_decoder", {"5": {"content": "x" * 1_001}}, "tokens by"),
        (fields.TOKENIZER, "extra_special_tokens", ["x"] * 70_001, "at most 70,000 tokens"),
        (fields.TOKENIZER, "chat_template", [{"name": "x", "template": "y"}] * 101, "100 named"),
        (fields.ADDED, "added_tokens", {str(id): id for id in range(70_001)}, "at most 70,000 ids"),
        (fields.ADDED, "added_tokens", {"a": "b"}, "at most 70,000 ids"),
        (
            fields.TOKENIZER,
            "added_tokens_decoder",
            {"x": "a"},
            "not an object of at most 70,000 tokens by",
        ),
    ],
)
def test_sampling_and_tokenizers_are_looked_at_too(table, field, value, said):
    assert said in refusal(table, **{field: value})


REAL = [
    '{"rope_scaling": null, "head_dim": null, "eos_token_id": [1, 2], "pad_token_id": -1}',
    '{"time_step_limit": [0.0, Infinity], "rms_norm_eps": 1e-05, "rope_theta": 1000000}',
    '{"max_position_embeddings": 1e6, "intermediate_size": [16384, 8192], "x": {"y": [1]}}',
    '{"rope_scaling": {"type": "yarn", "factor": 4.0, "mscale": 1, "mscale_all_dim": 1.0}}',
    '{"rope_scaling": {"type": "longrope", "long_factor": [1.0, 2], "short_factor": [1]}}',
    '{"rope_scaling": {"mrope_section": [16, 24, 24], "rope_type": "default"}}',
    '{"rope_parameters": {"full_attention": {"rope_theta": 1e6}, "sliding_attention": null}}',
    '{"text_config": {"num_hidden_layers": 2}, "vision_config": {"hidden_size": "any"}}',
    '{"auto_map": {"AutoTokenizer": ["a.B", null]}, "architectures": null, "sliding_window": null}',
    '{"model_type": "", "quantization_config": {"quant_method": "fp8"}, "dtype": "bfloat16"}',
    '{"_attn_implementation": "sdpa", "_attn_implementation_autoset": true}',
    '{"attn_implementation": null, "_experts_implementation": "grouped_mm", "dtype": "auto"}',
    '{"attn_implementation": {"text_config": "flash_attention_2", "vision_config": null}}',
    '{"head_dim": 0, "num_key_value_heads": null, "tie_word_embeddings": true}',
]


@pytest.mark.parametrize("text", REAL)
def test_what_real_checkpoints_say_is_left_alone(text):
    fields.check_config(json.loads(text))


@pytest.mark.parametrize(
    "values",
    [
        {"model_max_length": int(1e30), "chat_template": [{"name": "default", "template": "x"}]},
        {"model_max_length": math.inf, "eos_token": {"content": "<e>"}, "add_eos_token": False},
        {"extra_special_tokens": {"image_token": "<i>", "id": 5}, "additional_special_tokens": []},
        {"additional_special_tokens": ["a", {"content": "b", "lstrip": False}]},
        {"added_tokens_decoder": {"5": {"content": "a", "lstrip": False}}, "pad_token": None},
    ],
)
def test_what_real_tokenizers_say_is_left_alone(values):
    fields.check(values, fields.TOKENIZER, "a.json")
