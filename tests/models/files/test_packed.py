"""A packed checkpoint's headers: the matrices that its parts stand for, or what is wrong."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from glmcli.config.models import ModelOptions
from glmcli.errors import ModelError
from glmcli.models.choice import Memory, own_bits, ways_to_load
from glmcli.models.files.headers import Tensor
from glmcli.models.files.packed import unpacked

GPTQ: dict[str, Any] = {"quant_method": "gptq", "bits": 4, "group_size": 128, "desc_act": False}
AWQ: dict[str, Any] = {"quant_method": "awq", "bits": 4, "version": "GEMM", "zero_point": True}
WEIGHTS: dict[str, Any] = {"num_bits": 4, "type": "int", "strategy": "group", "symmetric": True}
CT = "compressed-tensors"


def compressed(form: str = "pack-quantized", **more: Any) -> dict[str, Any]:
    group = {"targets": ["Linear"], "weights": WEIGHTS | more, "input_activations": None}
    return {"quant_method": CT, "format": form, "config_groups": {"group_0": group}}


INT8 = compressed("int-quantized", num_bits=8, strategy="channel")
TABLES = {
    "gptq": {"qweight": (32, 96), "qzeros": (2, 12), "scales": (2, 96), "g_idx": (256,)},
    "awq": {"qweight": (256, 12), "qzeros": (2, 12), "scales": (2, 96)},
    "pack": {"weight_packed": (96, 32), "weight_scale": (96, 2), "weight_shape": (2,)},
    "int8": {"weight": (96, 256), "weight_scale": (96, 1)},
}
WAYS = [("gptq", GPTQ), ("awq", AWQ), ("pack", compressed()), ("int8", INT8)]


def tensor(part: str, shape: tuple[int, ...]) -> Tensor:
    kind = {"weight": "I8", "weight_shape": "I64", "scales": "F16", "weight_scale": "BF16"}
    found = Tensor(kind.get(part, "I32"), shape, 0)
    size = {"I8": 1, "I64": 8, "I32": 4}.get(found.dtype, 2)
    return replace(found, size_bytes=found.numbers * size)


def table(way: str, **changes: tuple[int, ...] | None) -> dict[str, Tensor]:
    """The parts of one matrix, (96, 256), and a norm."""
    shapes = {part: shape for part, shape in (TABLES[way] | changes).items() if shape is not None}
    return {"norm.weight": tensor("scales", (256,))} | {
        f"a.{part}": tensor(part, shape) for part, shape in shapes.items()
    }


def config(stated: Any, **more: Any) -> dict[str, Any]:
    return {"model_type": "llama", "quantization_config": stated, **more}


@pytest.mark.parametrize(("way", "stated"), WAYS)
def test_parts_become_the_matrix_that_they_stand_for(way: str, stated: dict[str, Any]) -> None:
    tensors = table(way)
    plain, found, packing = unpacked(config(stated), tensors)
    assert plain == {"model_type": "llama"}
    assert found.keys() == {"norm.weight", "a.weight"}
    assert found["a.weight"].shape == (96, 256)
    assert found["a.weight"].is_float
    parts = sum(each.size_bytes for name, each in tensors.items() if name != "norm.weight")
    assert found["a.weight"].size_bytes == parts
    assert packing is not None
    assert packing.kept_as == ("int8" if way == "int8" else "int4")


@pytest.mark.parametrize(
    ("way", "changes", "what"),
    [
        ("gptq", {"qzeros": None}, "a is packed, but has no qzeros"),
        ("gptq", {"qweight": None}, "no qweight"),
        ("gptq", {"scales": (2, 95)}, "scales is F16 of 2 × 95"),
        ("gptq", {"scales": (3, 96), "g_idx": None}, "scales is F16 of 3 × 96"),
        ("gptq", {"qzeros": (2, 13)}, "qzeros is I32 of 2 × 13"),
        ("gptq", {"g_idx": (255,)}, "g_idx is I32 of 255"),
        ("gptq", {"qweight": (32, 96, 1)}, "qweight"),
        ("gptq", {"qweight": (0, 96), "g_idx": (0,)}, "scales"),
        ("awq", {"qweight": (256, 13)}, "scales"),
        ("awq", {"scales": None}, "no scales"),
        ("pack", {"weight_scale": (96, 5)}, "weight_scale"),
        ("pack", {"weight_packed": (95, 32)}, "weight_scale"),
        ("pack", {"weight_zero_point": (96, 2)}, "weight_zero_point"),
        ("int8", {"weight_scale": None}, "no weight_scale"),
        ("int8", {"weight_scale": (2,)}, "weight_scale"),
    ],
)
def test_parts_that_do_not_fit_each_other_are_one_line(
    way: str, changes: dict[str, Any], what: str
) -> None:
    with pytest.raises(ModelError, match=what) as caught:
        unpacked(config(dict(WAYS)[way]), table(way, **changes))
    assert "download" in caught.value.hint


@pytest.mark.parametrize(
    "stated",
    [
        *("gptq", [], {}, {"quant_method": ["gptq"]}, {"quant_method": "gptq"}),
        *(GPTQ | {"bits": bits} for bits in (3, "4", [4])),
        GPTQ | {"checkpoint_format": "marlin"},
        GPTQ | {"dynamic": {"+:a": {"bits": 8}}},
        *(AWQ | {"version": version} for version in ("gemv", [], None)),
        AWQ | {"zero_point": False},
        *(compressed(form) for form in ("marlin-24", "float-quantized", "int-quantized")),
        *(compressed(type=kind) for kind in ("float", [])),
        *(compressed(num_bits=bits) for bits in ([], 2)),
        *(compressed() | {"config_groups": groups} for groups in ({}, [], {"a": []}, {"a": {}})),
        *(compressed() | {name: {"a": 1}} for name in ("kv_cache_scheme", "transform_config")),
        compressed() | {"sparsity_config": {"format": "sparse-24-bitmask"}},
    ],
)
def test_ways_that_are_not_plain_are_left_to_transformers(stated: Any) -> None:
    tensors = table("gptq") | table("pack")
    found = config(stated)
    assert unpacked(found, tensors) == (found, tensors, None)


def test_other_families_and_weights_that_are_only_called_packed_are_left_too() -> None:
    other = config(GPTQ, model_type="mixtral")
    assert unpacked(other, table("gptq"))[2] is None
    assert unpacked(config(GPTQ), {"norm.weight": tensor("scales", (256,))})[2] is None


@pytest.mark.parametrize(
    ("way", "stated", "changes"),
    [
        ("gptq", GPTQ | {"desc_act": True}, {}),
        ("pack", compressed(actorder="group"), {}),
        ("pack", compressed(), {"weight_scale": (96, 16)}),
        ("int8", INT8, {"weight_scale": (96, 2)}),
        ("gptq", GPTQ | {"bits": 8}, {"qweight": (64, 96), "qzeros": (2, 24)}),
    ],
)
def test_what_would_be_rounded_again_is_not_kept(
    way: str, stated: dict[str, Any], changes: dict[str, Any]
) -> None:
    packing = unpacked(config(stated), table(way, **changes))[2]
    assert packing is not None
    assert packing.kept_as == ""


def test_only_a_gpu_keeps_the_bits_and_only_if_nothing_else_is_asked_for() -> None:
    plain, tensors, packing = unpacked(config(GPTQ), table("gptq"))
    asked = ModelOptions()
    assert own_bits(packing, asked, "cuda:0") == "int4"
    assert own_bits(packing, replace(asked, quantize="auto"), "cuda:0") == "int4"
    assert own_bits(packing, asked, "cpu") == ""
    assert own_bits(packing, replace(asked, dtype="bfloat16"), "cuda:0") == ""
    assert own_bits(None, asked, "cuda:0") == ""
    on_gpu = ways_to_load(tensors, plain, asked, Memory("cuda:0", 0, False), packing)
    here = ways_to_load(tensors, plain, asked, Memory("cpu", 0, False), packing)
    assert [way.shown for way in on_gpu] == ["int4"]
    assert here[0].needed_bytes > 3 * on_gpu[0].needed_bytes
