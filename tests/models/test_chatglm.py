"""What a ChatGLM config.json means, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from glmcli.engines.local.prompt.chatglm.template import (
    ChatGLM2Template,
    ChatGLM3Template,
    GLM4Template,
    load_template,
)
from glmcli.errors import ModelError
from glmcli.models.chatglm import check_chatglm, glm_settings, has_linear_rope, is_chatglm2
from tests.support.chatglm_data import CHECKPOINTS, OTHERS, find, read_json
from tests.support.vocabularies import byte_pairs, tiktoken_file

FIRST = {"model_type": "chatglm", "position_encoding_2d": True, "inner_hidden_size": 16384}
SCALES_BASE = "self.rotary = RotaryEmbedding(dim)\n        base = base * self.rope_ratio\n"
DIVIDES = "seq_idx = torch.arange(0, seq_len, device=device) / self.rope_ratio\n"


def config(**changes: Any) -> dict[str, Any]:
    return (
        read_json(find("checkpoints", "tiny-6b-32k-safetensors-sharded", "config.json")) | changes
    )


def test_every_value_has_its_place() -> None:
    assert glm_settings(config()) == {
        "vocab_size": 576,
        "hidden_size": 64,
        "intermediate_size": 176,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "max_position_embeddings": 32768,
        "rms_norm_eps": 1e-5,
        "attention_bias": True,
        "attention_dropout": 0.0,
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": 500_000.0,
            "partial_rotary_factor": 0.5,
        },
        "tie_word_embeddings": False,
        "bos_token_id": None,
        "eos_token_id": 2,
        "pad_token_id": 0,
        "dtype": "float16",
    }


def test_a_ratio_that_divides_positions_leaves_the_base_alone() -> None:
    rope = glm_settings(config(rope_ratio=16), linear_rope=True)["rope_parameters"]
    assert rope == {
        "rope_type": "linear",
        "rope_theta": 10_000.0,
        "factor": 16.0,
        "partial_rotary_factor": 0.5,
    }


@pytest.mark.parametrize("ratio", [None, 0, 1])
def test_no_ratio_is_plain_rope(ratio: int | None) -> None:
    for linear in (True, False):
        rope = glm_settings(config(rope_ratio=ratio), linear_rope=linear)["rope_parameters"]
        assert (rope["rope_type"], rope["rope_theta"]) == ("default", 10_000.0)


@pytest.mark.parametrize("name", [*CHECKPOINTS, *OTHERS])
def test_all_test_checkpoints_are_accepted(name: str) -> None:
    kind = "checkpoints" if name in CHECKPOINTS else "other_generations"
    check_chatglm(read_json(find(kind, name, "config.json")), name=name)


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (FIRST, "first generation"),
        (FIRST | {"quantization_bit": 4}, "first generation"),
        (config(pre_seq_len=128), "P-tuning"),
        (config(quantization_bit=4), "quantised to 4 bits"),
        (config(original_rope=False), "original_rope"),
        (config(vision_config={"width": 1}), "pictures"),
        (config(boi_token_id=151339), "pictures"),
        (config(rmsnorm=False), "rmsnorm to False"),
        (config(add_bias_linear=True), "add_bias_linear to True"),
        (config(multi_query_attention=False), "multi_query_attention to False"),
        (config(post_layer_norm=False), "post_layer_norm to False"),
        (config(apply_residual_connection_post_layernorm=True), "post_layernorm to True"),
        (config(rope_ratio="fifty"), "rope_ratio to fifty"),
        (config(num_layers=None), "no num_layers"),
        (config(padded_vocab_size="many"), "no padded_vocab_size"),
        ({"model_type": "chatglm"}, "has no"),
    ],
)
def test_what_cannot_be_loaded_is_refused_in_a_line(bad: dict[str, Any], words: str) -> None:
    with pytest.raises(ModelError, match=words) as caught:
        check_chatglm(bad, name="mine")
    assert caught.value.message.startswith("mine ")
    assert caught.value.hint


@pytest.mark.parametrize("value", [0, None, False])
def test_a_switch_that_is_off_does_not_refuse_a_model(value: object) -> None:
    check_chatglm(config(quantization_bit=value, pre_seq_len=value), name="mine")


@pytest.mark.parametrize(
    ("code", "linear"),
    [
        ({"modeling_chatglm.py": DIVIDES}, True),
        ({"modeling_chatglm.py": SCALES_BASE}, False),
        ({"tokenization_chatglm.py": '"<|user|>", "<|observation|>"'}, False),
        ({"tokenization_chatglm.py": '"gMASK", "sop"'}, True),
        ({"modeling_chatglm.py": SCALES_BASE, "tokenization_chatglm.py": "2"}, False),
    ],
)
def test_the_code_tells_what_the_ratio_means(
    code: dict[str, str], linear: bool, tmp_path: Path
) -> None:
    """It is read as text: running it would raise."""
    for name, text in code.items():
        (tmp_path / name).write_text(text + "\nraise SystemExit('this ran')\n")
    misleading = "chatglm3-6b" if linear else "chatglm2-6b"
    assert has_linear_rope(config(), tmp_path, name=misleading) is linear


@pytest.mark.parametrize(
    ("name", "path", "second"),
    [
        ("chatglm2-6b-32k", "THUDM/chatglm3-6b", True),
        ("ChatGLM3-6B", "THUDM/chatglm2-6b", False),
        ("mine", "THUDM/chatglm2-6b-32k", True),
        ("mine", "THUDM/chatglm3-6b", False),
        ("mine", "", False),
        ("codegeex2-6b", "", True),
        ("my-chatglm-6b-v2", "", False),
        ("glm-4-9b-chat", "", False),
    ],
)
def test_without_code_the_name_tells_the_generation(
    name: str, path: str, second: bool, tmp_path: Path
) -> None:
    assert is_chatglm2(config(_name_or_path=path), tmp_path, name=name) is second


def test_each_generation_has_its_template(tmp_path: Path) -> None:
    tokenizer = find("checkpoints", "tiny-6b-safetensors", "tokenizer.model").read_bytes()
    kinds = {}
    for name, data in (
        ("chatglm2-6b", tokenizer),
        ("chatglm3-6b", tokenizer),
        ("glm-4-9b-chat", tiktoken_file(byte_pairs("hi", size=256))),
    ):
        (tmp_path / "tokenizer.model").write_bytes(data)
        kinds[name] = type(load_template(config(_name_or_path=""), tmp_path, name=name))
    assert kinds == {
        "chatglm2-6b": ChatGLM2Template,
        "chatglm3-6b": ChatGLM3Template,
        "glm-4-9b-chat": GLM4Template,
    }
