"""Devices, dtypes and room."""

from __future__ import annotations

import pytest
import torch

from glmcli import machine
from glmcli.config.models import ModelOptions
from glmcli.engines.local.net.placement import pick_device, pick_dtypes, place_weights
from glmcli.errors import ConfigError, OutOfMemory
from glmcli.models.files.headers import Tensor

HALF = {"a": Tensor("BF16", (10, 10), 200), "norm": Tensor("F32", (10,), 40)}


def dtype_of(stored: str, device: str) -> torch.dtype:
    return pick_dtypes("auto", device, {"a": Tensor(stored, (2,), 4)}, {}, False)[0]


def test_the_size_is_that_of_the_dtype_chosen():
    options = ModelOptions(device="cpu", dtype="float32")
    placement = place_weights(HALF | {"ids": Tensor("I64", (3,), 24)}, {}, options)
    assert placement.needed_bytes == 400 + 40 + 24
    assert placement.device_map == {"": "cpu"}
    assert placement.dtype == torch.float32


def test_what_does_not_fit_is_refused_before_it_is_loaded():
    huge = {"a": Tensor("F32", (1 << 50,), 1 << 52)}
    with pytest.raises(OutOfMemory) as caught:
        place_weights(huge, {}, ModelOptions(device="cpu"))
    assert caught.value.needed == 1 << 52
    assert caught.value.free is not None and caught.value.free < 1 << 52


def test_packed_weights_are_as_large_as_their_file():
    options = ModelOptions(device="cpu", dtype="float32")
    packed = {"quantization_config": {"quant_method": "gptq"}, "dtype": "float16"}
    assert place_weights(HALF, packed, options).needed_bytes == 240


@pytest.mark.parametrize("has", [True, False])
def test_a_processor_gets_what_it_is_fast_at(monkeypatch: pytest.MonkeyPatch, has: bool):
    monkeypatch.setattr(machine, "has_bfloat16", lambda: has)
    fast = torch.bfloat16 if has else torch.float32
    assert dtype_of("F16", "cpu") == dtype_of("BF16", "cpu") == fast
    assert dtype_of("F32", "cpu") == torch.float32


HALVES = [
    # wanted, stored, whether the processor has bfloat16: weights, sums
    ("auto", "BF16", False, "bfloat16", "float32"),
    ("auto", "F16", False, "float16", "float32"),
    ("auto", "F32", False, "float32", "float32"),
    ("bfloat16", "F32", False, "bfloat16", "float32"),
    ("float16", "F32", True, "float16", "float32"),
    ("auto", "F16", True, "bfloat16", "bfloat16"),
    ("bfloat16", "F32", True, "bfloat16", "bfloat16"),
    ("float32", "BF16", False, "float32", "float32"),
]


@pytest.mark.parametrize(("wanted", "stored", "has", "weights", "sums"), HALVES)
def test_with_a_product_for_halves_only_sums_are_float32(
    monkeypatch: pytest.MonkeyPatch, wanted: str, stored: str, has: bool, weights: str, sums: str
):
    monkeypatch.setattr(machine, "has_bfloat16", lambda: has)
    found = pick_dtypes(wanted, "cpu", {"a": Tensor(stored, (2,), 4)}, {}, True)
    assert found == (getattr(torch, weights), getattr(torch, sums))


def test_then_halves_take_two_bytes_each(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(machine, "has_bfloat16", lambda: False)
    options = ModelOptions(device="cpu")
    assert place_weights(HALF, {}, options, has_halves=True).needed_bytes == 220
    assert place_weights(HALF, {}, options).needed_bytes == 440


@pytest.mark.parametrize(("stored", "kept"), [("F16", "float16"), ("BF16", "bfloat16")])
def test_an_accelerator_gets_the_checkpoints_own(stored: str, kept: str):
    assert dtype_of(stored, "cuda:0") == getattr(torch, kept)


def test_most_of_the_weights_decide():
    assert pick_dtypes("auto", "cuda:0", HALF, {}, True) == (torch.bfloat16, torch.bfloat16)


@pytest.mark.parametrize("name", ["toaster", "cuda:x", "cpu:one"])
def test_a_device_that_nobody_has(name: str):
    with pytest.raises(ConfigError, match="there is no device"):
        pick_device(name)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_device_that_this_machine_does_not_have():
    with pytest.raises(ConfigError, match="finds no cuda") as caught:
        pick_device("cuda")
    assert "--device auto" in caught.value.hint


def test_auto_takes_what_is_there():
    assert pick_device("auto").partition(":")[0] in ("cuda", "mps", "xpu", "cpu")
