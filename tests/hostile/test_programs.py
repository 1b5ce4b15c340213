"""Chat templates and tokenizers that come with a model cannot hang it, or eat the machine."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from transformers import PreTrainedTokenizerFast

from glmcli.engines.local.prompt import apart
from glmcli.engines.local.prompt.rendering import render_apart
from glmcli.errors import ModelError
from tests.hostile import programs
from tests.hostile.running import Runner
from tests.support import tiny
from tests.support.folders import write_llama
from tests.support.templates import CHATML

QUICK = (
    "repeated text",
    "power of a power",
    "width by percent",
    "tojson of a deep indent",
    "lists of lists as text",
    "a text that doubles",
    "a macro that calls itself",
    "the globals of a function",
)
QUICK_TOKENIZERS = (
    *("split: the panic of an issue", "a normalizer that doubles", "a long token"),
    *("bytes of bytes", "words by the hundred thousand"),
)
LETTERS = "é" * 20_000
BOUNDED = ("split",)
"""What takes much, but on a fast machine no more than the limits allow."""
LIMITS = (
    *("too long", "too much", "too far", "too deeply", "far more", "fails", "broken", "limit"),
    "more than 1,000 letters",
    "added tokens",
)


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("healthy")
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=tiny.byte_level(), eos_token="<|im_end|>", chat_template=CHATML
    )
    write_llama(folder, vocab_size=len(tokenizer), max_position_embeddings=8192)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def runner() -> Iterator[Runner]:
    with Runner() as started:
        yield started


@pytest.fixture
def spoiled(healthy: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(healthy, tmp_path / "model"))


def ask(runner: Runner, model: Path, question: str = "hi"):
    home = {"GLM_HOME": str(model.parent / "home"), "GLM_CACHE": str(model.parent / "cache")}
    arguments = ["ask", "-m", str(model), "--max-tokens", "4", question]
    return runner.run(arguments, model.parent, env=home)


def check(outcome, *, is_bounded: bool = False) -> None:
    """One line and exit 3; where that `is_bounded`, an answer is as good."""
    if is_bounded and outcome.code == 0:
        assert not outcome.faults(0), outcome.err
        return
    assert not outcome.faults(3), outcome.err
    assert any(words in outcome.err for words in LIMITS), outcome.err


@pytest.mark.parametrize("name", QUICK)
def test_a_hostile_template_is_stopped_and_says_so(name):
    values = {"messages": [{"role": "user", "content": "hi"}]}
    with pytest.raises(ModelError, match="chat template") as caught:
        render_apart(programs.templates()[name], values)
    assert "choose another model" in caught.value.hint


def test_after_a_template_was_stopped_the_next_one_is_rendered():
    for _ in range(2):
        with pytest.raises(ModelError):
            render_apart("{{ 'a' * 10**10 }}", {})
        assert render_apart("{{ x }}!", {"x": "yes"}) == "yes!"


def test_other_threads_go_on_while_a_template_computes():
    ended = threading.Event()

    def render() -> None:
        with pytest.raises(ModelError, match="too long"):
            render_apart("{{ 10**(10**10) > 1 }}", {})
        ended.set()

    threading.Thread(target=render).start()
    longest, last = 0.0, time.monotonic()
    while not ended.wait(0.01):
        longest, last = max(longest, time.monotonic() - last), time.monotonic()
    assert longest < 1


@pytest.mark.parametrize("name", QUICK_TOKENIZERS)
def test_a_hostile_tokenizer_is_stopped_and_says_so(name, runner, spoiled):
    programs.spoil_tokenizer(spoiled, programs.tokenizers()[name])
    check(ask(runner, spoiled, LETTERS if name == "bytes of bytes" else programs.QUESTION))


def test_all_renderings_at_the_start_share_one_budget(runner, spoiled):
    before_s = apart.templates().taken_s
    render_apart(programs.BURNING.replace("%d", "5000"), {})
    rounds = 5000 / (apart.templates().taken_s - before_s)  # a second of this machine
    burning = programs.BURNING.replace("%d", f"{rounds:.0f}")
    programs.spoil_template(spoiled, burning + programs.TEXT)
    check(ask(runner, spoiled))


@pytest.mark.parametrize("name", programs.HARMLESS)
def test_an_unusual_tokenizer_works(name, runner, spoiled):
    programs.spoil_tokenizer(spoiled, programs.HARMLESS[name])
    outcome = ask(runner, spoiled)
    assert outcome.code == 0, outcome.err


@pytest.mark.hostile
@pytest.mark.parametrize("name", programs.templates())
def test_every_hostile_template_ends_with_exit_3(name, runner, spoiled):
    programs.spoil_template(spoiled, programs.templates()[name])
    check(ask(runner, spoiled), is_bounded=name in BOUNDED)


@pytest.mark.hostile
@pytest.mark.parametrize("name", programs.tokenizers())
def test_every_hostile_tokenizer_ends_with_exit_3_or_does_no_harm(name, runner, spoiled):
    programs.spoil_tokenizer(spoiled, programs.tokenizers()[name])
    outcome = ask(runner, spoiled, LETTERS if "bytes" in name else programs.QUESTION)
    assert not outcome.faults(0, 3), outcome.err
