"""Times, rates and medians, with a clock that the test sets."""

from __future__ import annotations

from itertools import pairwise

import pytest

from glmcli.engines.echo import EchoEngine
from glmcli.errors import UsageError
from glmcli.measure.speed import (
    Plan,
    Run,
    Sample,
    Timings,
    fitting_lengths,
    measure,
    medians,
    prompt_of,
    sample_text,
    timed_reply,
)
from glmcli.types import Chunk, Message, Progress, Usage

HELLO = [Message("user", "hello")]


class Scripted(EchoEngine):
    """Yields chunks at the times that stand beside them."""

    def __init__(self, *script: tuple[float, Chunk]) -> None:
        super().__init__()
        self._script = script
        self.now = 10.0

    def stream(self, messages, params, cancel):
        assert params.temperature == 0
        for at, chunk in self._script:
            self.now = 10.0 + at
            yield chunk

    def clock(self) -> float:
        return self.now


def sampled(*script: tuple[float, Chunk]) -> Sample:
    engine = Scripted(*script)
    return timed_reply(engine, HELLO, 4, engine.clock)


def end(**usage: int) -> Chunk:
    return Chunk(text="held back", finish_reason="length", usage=Usage(**usage))


def test_the_clock_runs_from_the_request_to_the_first_token_and_to_the_last():
    sample = sampled(
        (0.5, Chunk(progress=Progress("reading", 10, 50))),
        (2.0, Chunk(text="a", tokens=1)),
        (2.25, Chunk(tokens=1)),
        (3.0, Chunk(thinking="b", tokens=2)),
        (9.0, end(prompt_tokens=50, cached_tokens=10, completion_tokens=4)),
    )
    assert sample.first_s == 2.0
    assert sample.decode_s == 1.0
    assert (sample.tokens, sample.decode_tokens) == (4, 3)
    assert sample.prefill_tokens_per_s == 20.0
    assert sample.decode_tokens_per_s == 3.0
    assert sample.text == "aheld back"


def test_tokens_that_came_with_the_first_piece_took_no_time_after_it():
    sample = sampled(
        (1.0, Chunk(text="ab", tokens=2)), (2.0, Chunk(text="cd", tokens=2)), (2.0, end())
    )
    assert sample.decode_tokens_per_s == 2.0
    assert sample.prefill_tokens_per_s is None


def test_a_server_that_counts_only_at_the_end_is_measured_by_that_count():
    sample = sampled(
        (1.0, Chunk(text="a")), (4.0, Chunk(text="b")), (4.0, end(completion_tokens=31))
    )
    assert sample.decode_tokens_per_s == 10.0


@pytest.mark.parametrize("script", [(), ((1.0, Chunk(text="a", tokens=1)),)])
def test_too_short_a_reply_has_no_decode_speed(script):
    assert sampled(*script, (2.0, end())).decode_tokens_per_s is None


def run_of(first_s: float, tokens: int = 11, prompt: int = 100) -> Run:
    first = Sample(first_s, 2.0, tokens, tokens - 1, prompt, 0)
    return Run(first, Sample(first_s / 10, 0.0, 1, 0))


def test_medians_of_an_even_and_an_odd_number_of_runs():
    speed = medians([run_of(1.0), run_of(4.0, tokens=21), run_of(2.0)])
    assert speed.runs == 3
    assert speed.first_token_s == 2.0
    assert speed.next_turn_s == 0.2
    assert speed.prefill_tokens_per_s == 50.0
    assert speed.decode_tokens_per_s == 5.0
    assert medians([run_of(1.0), run_of(4.0)]).first_token_s == 2.5


def test_a_run_without_a_speed_leaves_the_median_of_the_others():
    assert medians([run_of(1.0), run_of(1.0, tokens=1)]).decode_tokens_per_s == 5.0
    assert medians([run_of(1.0, tokens=1)]).decode_tokens_per_s is None


def test_lengths_beyond_the_window_become_what_fits_it():
    assert fitting_lengths(Plan(), None) == (100, 1000, 4000)
    assert fitting_lengths(Plan(), 8192) == (100, 1000, 4000)
    assert fitting_lengths(Plan(tokens=64), 2048) == (100, 1000, 1920)
    assert fitting_lengths(Plan(tokens=64), 512) == (100, 384)
    with pytest.raises(UsageError, match="no room"):
        fitting_lengths(Plan(tokens=64), 128)


@pytest.mark.parametrize("length", [30, 100, 1000, 4000])
def test_a_prompt_has_the_size_that_was_asked_for(length):
    engine = EchoEngine()
    size = engine.count([prompt_of(engine, length, 0)])
    assert 0.9 * length <= size <= length


def test_prompts_differ_from_their_first_word_on():
    engine = EchoEngine()
    texts = [prompt_of(engine, length, n).text for length in (50, 60) for n in (0, 1)]
    assert len({text.split()[0] for text in texts}) == 4


def test_every_length_is_measured_in_every_run():
    timings = Timings()
    steps = list(measure(EchoEngine(), Plan(lengths=(20, 50), tokens=8, runs=2), timings))
    runs = [f"{length} tokens, {number}/2" for number in (1, 2) for length in (20, 50)]
    assert steps == ["first reply", *runs]
    assert [len(runs) for runs in timings.runs.values()] == [2, 2]
    assert [speed.runs for speed in timings.speeds] == [2, 2]
    assert all(a.prompt_tokens < b.prompt_tokens for a, b in pairwise(timings.speeds))


def test_what_was_measured_before_an_interrupt_is_there():
    timings = Timings()
    steps = measure(EchoEngine(), Plan(lengths=(20, 50), tokens=8, runs=2), timings)
    for _ in range(3):
        next(steps)
    assert timings.cold is not None
    assert [speed.runs for speed in timings.speeds] == [1]


def test_the_text_that_ships_has_english_chinese_and_code():
    text = sample_text()
    assert "def height(" in text
    assert "从前" in text
    assert len(text) > 2000
