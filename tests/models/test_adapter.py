"""What an adapter's files may say, before anything of it is applied."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from glmcli.config.models import Cache, ModelOptions
from glmcli.errors import GlmError
from glmcli.models.checkpoint import find_checkpoint
from tests.support.folders import write_llama

LORA = {"peft_type": "LORA", "base_model_name_or_path": "org/base", "r": 4}


def write(folder: Path, **changes: Any) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "adapter_config.json").write_text(json.dumps(LORA | changes))
    save_file({"x": np.zeros(4, np.float32)}, folder / "adapter_model.safetensors")
    return folder


def find(folder: Path, tmp_path: Path, adapter: Path | str = "") -> Any:
    options = ModelOptions(cache=Cache(tmp_path / "cache"), offline=True, adapter=str(adapter))
    return find_checkpoint(str(folder), options, lambda progress: None).adapter


def refused(folder: Path, tmp_path: Path, adapter: Path | str = "") -> GlmError:
    with pytest.raises(GlmError) as caught:
        find(folder, tmp_path, adapter)
    assert "\n" not in caught.value.message + caught.value.hint
    return caught.value


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_llama(tmp_path / "net")


def test_a_model_without_an_adapter_has_none(model: Path, tmp_path: Path):
    assert find(model, tmp_path) is None


def test_the_one_that_is_asked_for_comes_before_the_one_beside_the_weights(
    model: Path, tmp_path: Path
):
    write(model)
    assert find(model, tmp_path).folder == model
    other = write(tmp_path / "other")
    assert find(model, tmp_path, other).folder == other


def test_a_folder_with_an_adapter_alone_names_its_model_and_what_to_type(tmp_path: Path):
    alone = write(tmp_path / "my adapter")
    error = refused(alone, tmp_path)
    assert "an adapter of org/base, not a model" in error.message
    assert error.hint == f"glm chat -m org/base --adapter '{alone}'"
    write(alone, base_model_name_or_path="x; rm -r /")
    assert "-m 'x; rm -r /' " in refused(alone, tmp_path).hint
    write(alone, base_model_name_or_path=None)
    assert refused(alone, tmp_path).hint.startswith("glm chat -m MODEL --adapter ")


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("PREFIX_TUNING", "a tuned prefix, which cannot be merged"),
        ("PROMPT_TUNING", "a tuned prompt, which cannot be merged"),
        ("P_TUNING", "a tuned prompt, which cannot be merged"),
    ],
)
def test_what_changes_no_weight_is_refused_in_its_own_words(
    kind: str, said: str, model: Path, tmp_path: Path
):
    error = refused(model, tmp_path, write(tmp_path / "adapter", peft_type=kind))
    assert said in error.message
    assert "LoRA" in error.hint


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"peft_type": 5}, "peft_type is 5, not a name"),
        ({"base_model_name_or_path": ["x"]}, "base_model_name_or_path is ['x'], not a name"),
        ({"r": "x"}, "r is 'x', not a whole number"),
        ({"rank_pattern": {"(a+)+$": 4}}, "not an object of numbers by names of layers"),
        ({"megatron_config": {"x": 1}}, "one with megatron_config, which cannot be merged"),
        ({"alora_invocation_tokens": [1]}, "one with alora_invocation_tokens, which cannot"),
    ],
)
def test_what_a_library_would_trust_is_looked_at_first(
    changes: dict[str, Any], said: str, model: Path, tmp_path: Path
):
    assert said in refused(model, tmp_path, write(tmp_path / "adapter", **changes)).message


def test_an_adapter_that_is_not_whole_is_refused(model: Path, tmp_path: Path):
    adapter = write(tmp_path / "adapter")
    weights = adapter / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4])
    assert "damaged or cut off" in refused(model, tmp_path, adapter).message
    weights.unlink()
    assert "but not adapter_model.safetensors" in refused(model, tmp_path, adapter).message
    (adapter / "adapter_config.json").unlink()
    assert "holds no adapter" in refused(model, tmp_path, adapter).message
    assert "holds no adapter" in refused(model, tmp_path, tmp_path / "nowhere").message


def test_weights_that_are_packed_take_no_adapter(model: Path, tmp_path: Path):
    config = json.loads((model / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "gptq", "bits": 4}
    (model / "config.json").write_text(json.dumps(config))
    error = refused(model, tmp_path, write(tmp_path / "adapter"))
    assert "quantised" in error.message
