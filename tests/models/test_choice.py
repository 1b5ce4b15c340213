"""What `--quantize auto` takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from glmcli import machine
from glmcli.config.models import ModelOptions
from glmcli.errors import ConfigError, OutOfMemory
from glmcli.models.bits import bits_of
from glmcli.models.choice import Memory, memory_here, open_first, to_try, ways_to_load
from glmcli.models.files.headers import Tensor

WEIGHTS = {"layer.weight": Tensor("BF16", (1000, 1000), 2_000_000)}
"""One matrix: with room to work in 2.2 MB in 16 bits, 1.1 and 0.6 in few."""


def ways(free: int | None, device: str = "cuda:0", **config: object):
    return ways_to_load(WEIGHTS, config, ModelOptions(), Memory(device, free, True))


@pytest.mark.parametrize(
    ("free", "taken"),
    [
        (None, "bfloat16"),
        (2_200_000, "bfloat16"),
        (2_199_000, "int8"),
        (1_200_000, "int8"),
        (700_000, "int4"),
        (100_000, "int4"),  # which is refused, with its numbers
    ],
)
def test_the_most_exact_that_fits_is_taken(free: int | None, taken: str):
    assert to_try(ways(free))[0].shown == taken


@pytest.mark.parametrize(
    ("device", "there"),
    [
        ("cuda:0", ["bfloat16", "int8", "int4"]),
        ("cpu", ["float32", "int8"]),
        ("mps", ["bfloat16"]),
    ],
)
def test_only_what_is_fast_on_a_device_is_thought_of(
    device: str, there: list[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(machine, "has_bfloat16", lambda: False)
    memory = Memory(device, 0, False)
    assert [way.shown for way in ways_to_load(WEIGHTS, {}, ModelOptions(), memory)] == there


def test_what_is_in_few_bits_already_stays_as_it_is():
    packed = ways(0, quantization_config={"quant_method": "gptq"}, dtype="float16")
    assert [way.quantize for way in packed] == ["none"]


def test_the_line_has_both_numbers():
    taken = "--quantize auto takes bfloat16: "
    assert ways(2_000_000_000)[0].line == f"{taken}about 0.0 GB of memory needed, 2.0 GB free"
    assert ways(None)[0].line == f"{taken}how much memory is free is not known here"


def test_where_memory_ends_the_next_is_taken_and_both_are_said():
    def opened(way):
        if way.quantize != "int4":
            raise OutOfMemory(9 * 10**9, 10**9)
        return way.quantize

    net, lines = open_first(ways(10**9), opened)
    assert net == "int4"
    assert [line.partition(":")[0] for line in lines] == [
        "bfloat16 did not fit into memory",
        "int8 did not fit into memory",
        "--quantize auto takes int4",
    ]
    assert "about 9.0 GB of memory; 1.0 GB is free" in lines[0]


def test_where_nothing_fits_that_is_the_error():
    def opened(way):
        raise OutOfMemory(way.needed_bytes, way.free_bytes)

    with pytest.raises(OutOfMemory) as caught:
        open_first(ways(10), opened)
    assert (caught.value.exit_code, caught.value.free) == (5, 10)


def test_a_model_that_has_no_few_bits_does_not_fit_and_the_reason_is_said():
    def opened(way):
        raise ConfigError("it cannot be quantised", "leave it out")

    with pytest.raises(OutOfMemory) as caught:
        open_first(ways(1_200_000), opened)
    assert (caught.value.needed, caught.value.hint) == (2_200_000, "it cannot be quantised")
    with pytest.raises(ConfigError):  # not about bits
        open_first(ways(10**9), opened)


def test_without_torch_the_memory_is_the_drivers_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    cards = [machine.Gpu("A", 30, 20), machine.Gpu("B", 30, 25)]
    monkeypatch.setattr(machine, "nvidia_gpus", lambda within_s: cards)
    monkeypatch.setattr(machine, "free_bytes", lambda: 7)
    monkeypatch.setattr("glmcli.models.choice.installed_version", lambda name: "2.9.0")
    assert memory_here(ModelOptions())[:2] == ("cuda", 45)
    assert memory_here(ModelOptions(device="cuda"))[:2] == ("cuda", 25)
    assert memory_here(ModelOptions(device="cuda:0"))[:2] == ("cuda", 20)
    assert memory_here(ModelOptions(device="cuda:5"))[:2] == ("cuda", None)
    assert memory_here(ModelOptions(device="cpu"))[:2] == ("cpu", 7)
    monkeypatch.setattr("glmcli.models.choice.installed_version", lambda name: "2.9.0+cpu")
    assert memory_here(ModelOptions())[:2] == ("cpu", 7)


@pytest.mark.parametrize(
    ("device", "bits"), [("cpu int8", "int8"), ("cuda:0 int4", "int4"), ("cpu bfloat16", "none")]
)
def test_the_bits_are_read_from_how_a_model_runs(device: str, bits: str):
    assert bits_of(device) == bits
