"""Rows, JSON and shares from known numbers."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from glmcli import machine
from glmcli.config import Settings
from glmcli.engines.local.net.divergence import Quality
from glmcli.measure.result import HEAD, BenchResult, in_certain_bits, quality_rows, rate, seconds
from glmcli.measure.speed import Plan, Run, Sample, Timings
from tests.support.folders import write_llama
from tests.support.tiny import byte_level


@pytest.fixture
def result() -> BenchResult:
    first = Sample(0.5, 2.0, 41, 40, 100, 0, "a text")
    follow = Sample(0.02, 0.0, 1, 0, 150, 140)
    timings = Timings(load_s=4.0, cold=Sample(0.25, 1.0, 5, 4), runs={100: [Run(first, follow)]})
    return BenchResult(
        model="some/model",
        plan=Plan(),
        timings=timings,
        name="model",
        device="cpu bfloat16",
        runs_as="fused",
        threads=1,
        weight_bytes=270_000_000,
        peak_bytes=800_000_000,
        bandwidth=30e9,
    )


def test_the_share_of_the_bandwidth_is_what_the_weights_take(result):
    assert result.decode_tokens_per_s == 20.0
    assert result.bandwidth_share == pytest.approx(270e6 * 20 / 30e9)
    assert result.cold_first_token_s == 4.25


def test_facts_name_everything_that_is_known_and_nothing_else(result):
    assert dict(result.facts()) == {
        "model": "model",
        "device": "cpu bfloat16",
        "runs as": "fused",
        "processor threads": "1",
        "weights read per token": "270 MB",
        "load": "4.00 s",
        "load and first token": "4.25 s",
        "peak memory": "800 MB",
        "memory bandwidth": "30.0 GB/s",
        "share of it used in decoding": "18%",
    }
    bare = BenchResult(model="openai:x", plan=Plan(), timings=Timings())
    assert bare.facts() == [("model", "openai:x")]
    assert bare.rows() == []


def test_a_row_for_each_length(result):
    assert result.rows() == [("100", "200 tok/s", "0.500 s", "0.020 s", "20.0 tok/s")]
    assert len(HEAD) == len(result.rows()[0])


def test_json_has_the_single_runs_without_their_texts(result):
    data = json.loads(json.dumps(result.as_json()))
    assert data["speeds"][0]["decode_tokens_per_s"] == 20.0
    assert data["runs"][0]["first"]["first_s"] == 0.5
    assert data["bandwidth_share"] == pytest.approx(0.18)
    assert "a text" not in json.dumps(data)


def test_times_and_rates_for_people():
    assert [seconds(value) for value in (None, 0.0123, 1.234, 12.34)] == [
        "",
        "0.012 s",
        "1.23 s",
        "12.3 s",
    ]
    assert [rate(value) for value in (None, 9.87, 1234.5)] == ["", "9.9 tok/s", "1,234 tok/s"]


def test_quality_names_both_nets_that_were_compared():
    found = Quality(1000, 0.00123, 0.0456, 0.1, 0.987)
    rows = quality_rows(found, Settings(quantize="int8"), Settings())
    assert dict(rows) == {
        "model": "smollm2",
        "compared": "int8 / none",
        "positions": "1,000",
        "KL divergence, mean": "0.00123 nats",
        "KL divergence, 99th percentile": "0.0456 nats",
        "KL divergence, worst": "0.1 nats",
        "same most likely token": "98.7%",
    }


@pytest.mark.parametrize(("free", "bits"), [(10**9, "none"), (60_000, "int8")])
def test_what_is_left_to_the_memory_is_compared_as_what_fits_now(free, bits, tmp_path, monkeypatch):
    folder = str(write_llama(tmp_path / "net"))
    byte_level().save(f"{folder}/tokenizer.json")
    monkeypatch.setattr(machine, "free_bytes", lambda: free)
    settings = Settings(model=folder, quantize="auto", device="cpu")
    assert in_certain_bits(settings).quantize == bits
    assert in_certain_bits(replace(settings, quantize="int4")).quantize == "int4"
