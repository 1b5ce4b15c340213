"""How fast an engine answers, measured through the Engine protocol alone, as a chat uses it.

Every engine can be measured. Knows nothing of tables or hardware.
"""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib import resources
from statistics import median
from threading import Event

from glmcli.engines import Engine
from glmcli.errors import UsageError
from glmcli.language import tr
from glmcli.types import Chunk, GenerationParams, Message

TASK = "Write a long story of many chapters that begins after this text:"
GO_ON = Message("user", "Go on.")
HELLO = Message("user", "Write a long story about a fox who wanted to see the sea.")
Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Sample:
    """One reply, with the clock running."""

    first_s: float | None
    """Seconds from the request to the first token; None if none came."""
    decode_s: float
    """Seconds from the first token to the last."""
    tokens: int | None
    """Tokens of the reply; None if the engine cannot say."""
    decode_tokens: int
    """Those that came after the first piece of the reply; 0 if that is not known."""
    prompt_tokens: int | None = None
    cached_tokens: int | None = None
    text: str = ""

    @property
    def prefill_tokens_per_s(self) -> float | None:
        """Tokens of the prompt that had to be read, over the time to the first token."""
        if not self.first_s or self.prompt_tokens is None:
            return None
        return (self.prompt_tokens - (self.cached_tokens or 0)) / self.first_s

    @property
    def decode_tokens_per_s(self) -> float | None:
        """Tokens after the first, over the time after the first."""
        if self.decode_tokens < 1 or self.decode_s <= 0:
            return None
        return self.decode_tokens / self.decode_s


@dataclass(frozen=True, slots=True)
class Run:
    """A reply to a long prompt that was new, and the beginning of the next turn of that chat."""

    first: Sample
    next_turn: Sample


@dataclass(frozen=True, slots=True)
class Speed:
    """The medians of some runs at one length of the prompt. None where nothing was measured."""

    prompt_tokens: int | None
    runs: int
    prefill_tokens_per_s: float | None
    first_token_s: float | None
    """To the first token after a prompt of which nothing was cached but the template's start."""
    next_turn_s: float | None
    """To the first token of the next turn: the history is cached."""
    decode_tokens_per_s: float | None


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure."""

    lengths: tuple[int, ...] = (100, 1000, 4000)
    """Sizes of the prompts, in tokens."""
    tokens: int = 64
    """Tokens of each reply, if the model does not end it earlier."""
    runs: int = 3


@dataclass(slots=True)
class Timings:
    """What was measured so far; it grows, so that an interrupt loses nothing."""

    load_s: float | None = None
    cold: Sample | None = None
    """The first reply after loading."""
    runs: dict[int, list[Run]] = field(default_factory=dict)
    """Length asked for -> runs."""

    @property
    def speeds(self) -> list[Speed]:
        """The medians, the shortest prompt first."""
        return [medians(runs) for _, runs in sorted(self.runs.items()) if runs]


def medians(runs: Sequence[Run]) -> Speed:
    """The medians of runs with prompts of one length."""
    first = [run.first for run in runs]
    return Speed(
        prompt_tokens=rounded(middle([item.prompt_tokens for item in first])),
        runs=len(runs),
        prefill_tokens_per_s=middle([item.prefill_tokens_per_s for item in first]),
        first_token_s=middle([item.first_s for item in first]),
        next_turn_s=middle([run.next_turn.first_s for run in runs]),
        decode_tokens_per_s=middle([item.decode_tokens_per_s for item in first]),
    )


def middle(values: Sequence[float | None]) -> float | None:
    """The median of the known values; None without any."""
    known = [value for value in values if value is not None]
    return median(known) if known else None


def rounded(value: float | None) -> int | None:
    """A count."""
    return None if value is None else round(value)


def timed_reply(
    engine: Engine, messages: Sequence[Message], max_tokens: int, clock: Clock = time.perf_counter
) -> Sample:
    """One greedy reply. Raises what the engine raises."""
    params = GenerationParams(max_tokens=max_tokens, temperature=0)
    started = clock()
    arrivals: list[tuple[float, int]] = []
    text, last = "", Chunk()
    for last in engine.stream(messages, params, Event()):
        # The last chunk may bring text that was held back, but no token.
        if last.tokens or ((last.text or last.thinking) and not last.finish_reason):
            arrivals.append((clock(), last.tokens))
        text += last.text
    usage = last.usage
    tokens = usage.completion_tokens if usage else None
    later = sum(count for _, count in arrivals[1:])
    if not later and tokens and len(arrivals) > 1:  # pieces of text that say no count
        later = tokens - 1
    return Sample(
        first_s=arrivals[0][0] - started if arrivals else None,
        decode_s=arrivals[-1][0] - arrivals[0][0] if arrivals else 0.0,
        tokens=tokens,
        decode_tokens=later,
        prompt_tokens=usage.prompt_tokens if usage else None,
        cached_tokens=usage.cached_tokens if usage else None,
        text=text,
    )


def measure(engine: Engine, plan: Plan, timings: Timings) -> Iterator[str]:
    """Measure step by step into `timings`; yields the next step, for a person who waits.

    Lengths beyond the window become what fits it. Raises UsageError if nothing does.
    """
    lengths = fitting_lengths(plan, engine.context_tokens)
    yield tr("first reply")
    timings.cold = timed_reply(engine, [HELLO], plan.tokens)
    for number in range(plan.runs):
        for length in lengths:
            yield tr(
                "{length:,} tokens, {run}/{runs}", length=length, run=number + 1, runs=plan.runs
            )
            question = prompt_of(engine, length, number)
            first = timed_reply(engine, [question], plan.tokens)
            chat = [question, Message("assistant", first.text or "…"), GO_ON]
            follow = timed_reply(engine, chat, 1)
            timings.runs.setdefault(length, []).append(Run(first, follow))


def fitting_lengths(plan: Plan, window: int | None) -> tuple[int, ...]:
    """The lengths, none longer than the window allows for two turns. Raises UsageError."""
    if window is None:
        return tuple(sorted(set(plan.lengths)))
    room = window - plan.tokens - 64  # the next turn's question and the template around it
    if room < 1:
        raise UsageError(
            tr(
                "replies of {tokens:,} tokens leave no room in a window of {window:,}",
                tokens=plan.tokens,
                window=window,
            ),
            tr("choose a smaller --tokens"),
        )
    return tuple(sorted({min(length, room) for length in plan.lengths}))


def prompt_of(engine: Engine, length: int, number: int) -> Message:
    """A question of about `length` tokens, template included, that differs early from others."""
    words = sample_text().split(" ")
    words *= length // len(words) + 2

    def question(count: int) -> Message:
        return Message("user", f"{number}-{length}. {TASK}\n\n{' '.join(words[:count])}")

    def size(count: int) -> int:
        found = engine.count([question(count)])
        return count if found is None else found

    # No word is shorter than a token, so `length` words are enough.
    return question(max(1, bisect_right(range(length + 1), length, key=size) - 1))


def sample_text() -> str:
    """About 1,000 tokens of English, Chinese and code, which come with the program."""
    return (resources.files("glmcli.measure") / "sample.txt").read_text(encoding="utf-8")
