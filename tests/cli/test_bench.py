"""`glm bench` as a shell sees it."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.term import Term

QUICK = ("--runs", "1", "--tokens", "8", "--prompts", "20,60")


def test_a_pipe_gets_lines_with_tabs(glm):
    done = glm("bench", "echo:", *QUICK)
    assert done.code == 0
    assert done.err == ""
    lines = [line.split("\t") for line in done.out.splitlines()]
    assert lines[0] == ["model", "echo"]
    assert [len(line) for line in lines] == [2, 5, 5]
    assert lines[2][0] == "60"
    assert all(cell.endswith("tok/s") for line in lines[1:] for cell in (line[1], line[4]))


def test_speeds_are_real(glm):
    data = json.loads(glm("bench", "echo:delay=0.02", *QUICK, "--json").out)
    for speed in data["speeds"]:
        assert 20 < speed["decode_tokens_per_s"] < 50.5
        assert speed["first_token_s"] >= 0.02


def test_an_engine_elsewhere_has_no_memory_and_no_load_time(glm):
    data = json.loads(glm("bench", "echo:", *QUICK, "--json").out)
    for key in ("load_s", "peak_bytes", "weight_bytes", "bandwidth_bytes_per_s", "threads"):
        assert data[key] is None
    assert len(data["runs"]) == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("echo:", "--prompts", "1,x"), "--prompts"),
        (("echo:", "--prompts", "0"), "--prompts"),
        (("echo:", "-m", "echo:delay=1"), "two models"),
        (("echo:window=60",), "no room"),
        (("echo:", "--quality"), "--quality needs a model"),
        (("./x", "--quality", "--dtype", "float32"), "none were asked for"),
    ],
)
def test_bad_input_is_one_line_and_one_hint(glm, arguments, words):
    done = glm("bench", *arguments)
    assert done.code == 2
    assert words in done.err_lines[0]
    assert len(done.err_lines) == 2
    assert done.out == ""


@pytest.mark.pty
def test_ctrl_c_shows_what_was_measured_and_ends_by_the_signal(tmp_path: Path):
    endless = ("--prompts", "20,9000", "--tokens", "9999", "--runs", "1")
    with Term("bench", "echo:delay=0.05,window=100000", *endless, home=tmp_path) as term:
        term.see("9,000 tokens, 1/1")
        term.process.send("\x03")
        term.until(lambda term: not term.process.isalive(), "the end")
        while term.pump():
            pass
        shown = term.text()
        assert term.process.signalstatus == signal.SIGINT
    assert re.search(r"^prompt tokens +prefill +first token", shown, re.MULTILINE)
    assert re.search(r"^20 .* tok/s$", shown, re.MULTILINE)
    assert "9,000" not in shown  # the status row was taken back


def test_help_does_not_load_what_measures():
    code = "import sys, glmcli.cli; print([n for n in ('torch', 'glmcli.measure.speed') if n in "
    done = subprocess.run(
        [sys.executable, "-c", code + "sys.modules])"], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> str:
    """A checkpoint of two small layers."""
    from tests.support import tiny
    from tests.support.tiny_chat import tokenizer_of

    made = tmp_path_factory.mktemp("checkpoint")
    tokenizer = tokenizer_of()
    tokenizer.save_pretrained(made)
    tiny.llama(len(tokenizer)).save_pretrained(made)
    return str(made)


def test_a_model_in_this_process_is_measured_with_its_hardware(glm, folder, tmp_path):
    done = glm("bench", folder, *QUICK, "--dtype", "float32", GLM_CACHE=str(tmp_path))
    assert (done.code, done.err) == (0, "")
    facts = dict(line.split("\t") for line in done.out.splitlines() if line.count("\t") == 1)
    assert facts["device"] == "cpu float32"
    for name in ("load", "peak memory", "memory bandwidth", "weights read per token"):
        assert float(facts[name].split()[0].replace(",", "")) >= 0
    assert len([line for line in done.out.splitlines() if line.count("\t") == 4]) == 2


def test_quality_says_how_far_fewer_bits_are_from_the_whole(glm, folder, tmp_path):
    arguments = ("bench", folder, "--quality", "--dtype", "bfloat16")
    data = json.loads(glm(*arguments, "--json", GLM_CACHE=str(tmp_path)).out)
    assert data["against"] == {"quantize": "none", "dtype": "float32"}
    assert data["positions"] == 1024  # the window
    assert 0 < data["mean"] < data["p99"] <= data["worst"]
    assert 0 < data["same_best"] <= 1


@pytest.mark.model
def test_the_built_in_model_is_measured_with_its_hardware(glm):
    data = json.loads(glm("bench", *QUICK, "--threads", "1", "--json", timeout=280).out)
    assert data["device"].startswith("cpu ")
    assert data["weight_bytes"] > 100e6
    assert data["peak_bytes"] > 300e6
    assert 0.01 < data["bandwidth_share"] < 1.2
    assert data["load_s"] < data["cold_first_token_s"]
    assert 1e9 < data["bandwidth_bytes_per_s"] < 1e12
