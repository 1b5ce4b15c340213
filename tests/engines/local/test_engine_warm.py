"""What was read before it was sent makes a reply come sooner, and changes nothing else."""

from dataclasses import replace
from threading import Event

import pytest

from glmcli.engines.local.engine import LocalEngine
from glmcli.engines.local.ids import shared_prefix
from glmcli.engines.local.net.plain.reader import Reading, ReadingWay, model_of
from glmcli.engines.local.net.reader import BLOCK
from glmcli.engines.local.prompt.template import ChatTemplate
from glmcli.types import GenerationParams, Message
from tests.support import tiny
from tests.support.templates import CHATML, GLM4, LLAMA3, REASONER
from tests.support.tiny_chat import LONG, NET, TEMPLATE, ask, text_of, tokenizer_of, user

PARAMS = GenerationParams()
HISTORY = user("hello", "the quick brown fox")
DRAFT = "She doesn't know why, does she? The year is 2026, and the quick "
TELLING = "{{ 'do not think' if enable_thinking is false else 'think' }}" + CHATML
"""A template that says in its first words whether to think."""


def opened(template=TEMPLATE, net=NET, window=1024):
    return LocalEngine("tiny", model_of(net), template, context_tokens=window)


@pytest.fixture
def engine():
    return opened()


def asking(draft, history=HISTORY):
    return [*history, Message("user", draft)]


def usage_of(chunks):
    return chunks[-1].usage


class After(Event):
    """Set from the moment it was looked at so many times."""

    def __init__(self, looks):
        super().__init__()
        self.looks = looks

    def is_set(self):
        self.looks -= 1
        return self.looks < 0


@pytest.mark.parametrize("source", [CHATML, LLAMA3, GLM4, REASONER, None])
@pytest.mark.parametrize("end", ["", " ", "\n", "brow", "<|im_en", "中"])
def test_a_draft_that_was_read_is_not_read_again(source, end):
    template = ChatTemplate(tokenizer_of(source))
    cold = opened(template)
    certain = shared_prefix(*(template.encode(asking(DRAFT + word)).ids for word in ("a", "12")))
    for more in ("", "n fox", "|>", " 12", "\n\nnew lines"):
        warmed = opened(template)
        warmed.warm(asking(DRAFT + end), PARAMS, Event())
        prompt = asking(DRAFT + end + more)
        chunks, expected = (ask(engine, prompt, max_tokens=6) for engine in (warmed, cold))
        assert text_of(chunks) == text_of(expected)
        assert usage_of(chunks).prompt_tokens == usage_of(expected).prompt_tokens
        assert usage_of(chunks).cached_tokens >= certain - 3


def test_a_draft_is_read_as_it_grows_letter_by_letter(engine):
    text = "Hello 世界, 1234 times: doesn't it work?  Yes."
    for end in range(len(text) + 1):
        engine.warm(asking(text[:end]), PARAMS, Event())
    chunks = ask(engine, asking(text))
    assert text_of(chunks) == text_of(ask(opened(), asking(text)))
    assert usage_of(chunks).prompt_tokens - usage_of(chunks).cached_tokens < 12


def test_a_draft_that_changed_at_its_beginning_costs_the_draft_and_not_the_history(engine):
    reply = text_of(ask(engine, user(LONG)))
    history = user(LONG, reply)
    engine.warm(asking("the quick " * 20, history), PARAMS, Event())
    changed = asking("but the quick " * 20, history)
    engine.warm(changed, PARAMS, Event())
    chunks = ask(engine, changed)
    assert text_of(chunks) == text_of(ask(opened(), changed))
    assert usage_of(chunks).prompt_tokens - usage_of(chunks).cached_tokens < 12
    other = ask(engine, asking("no", history))
    assert usage_of(other).cached_tokens >= len(TEMPLATE.encode(history[:1]).ids)
    assert text_of(other) == text_of(ask(opened(), asking("no", history)))


@pytest.mark.parametrize("looks", range(8))
def test_called_off_at_any_step_it_stops_within_a_block_and_nothing_is_wrong(engine, looks):
    ask(engine, user("something else"))
    before = engine.known_ids
    engine.warm(asking(LONG), PARAMS, After(looks))
    ids = TEMPLATE.encode(asking(LONG)).ids
    if looks == 0:
        assert engine.known_ids == before
    else:
        assert engine.known_ids == tuple(ids[: len(engine.known_ids)])
        assert len(engine.known_ids) <= len(before) + (looks - 1) * BLOCK
    engine.warm(asking(LONG), PARAMS, Event())
    chunks = ask(engine, asking(LONG))
    assert text_of(chunks) == text_of(ask(opened(), asking(LONG)))
    assert usage_of(chunks).cached_tokens > len(ids) - 12


def test_what_is_warmed_is_what_is_sent_when_a_model_shall_not_think():
    engine = opened(ChatTemplate(tokenizer_of(TELLING)))
    engine.warm(asking(DRAFT), replace(PARAMS, think=False), Event())
    usage = usage_of(ask(engine, asking(DRAFT), think=False))
    assert usage.prompt_tokens == engine.count(asking(DRAFT), think=False)
    assert usage.prompt_tokens > (engine.count(asking(DRAFT)) or 0)
    assert usage.prompt_tokens - usage.cached_tokens < 12


def test_a_draft_beyond_the_window_leaves_what_was_read_as_it_is():
    engine = opened(window=200)
    ask(engine, user("hello"))
    before = engine.known_ids
    for draft in (LONG, LONG * 1000):
        engine.warm(asking(draft), PARAMS, Event())
        assert engine.known_ids == before


def test_a_net_that_cannot_go_back_loses_the_history_to_a_draft_once_only():
    engine = opened(net=tiny.sliding(window=16))
    ask(engine, HISTORY[:1])
    engine.warm(asking(DRAFT), PARAMS, Event())
    engine.warm(asking(f"No. {DRAFT}"), PARAMS, Event())
    engine.warm(HISTORY, PARAMS, Event())
    read = engine.known_ids
    engine.warm(asking(f"Well. {DRAFT}"), PARAMS, Event())
    assert engine.known_ids == read
    prompt = asking(DRAFT)
    assert text_of(ask(engine, prompt)) == text_of(ask(opened(net=tiny.sliding()), prompt))


def test_a_net_that_reads_a_prompt_in_one_go_is_left_alone():
    model = model_of(NET, reading=Reading(ReadingWay.WHOLE))
    engine = LocalEngine("tiny", model, TEMPLATE, context_tokens=1024)
    ask(engine, user("hello"))
    before = engine.known_ids
    engine.warm(asking(DRAFT), PARAMS, Event())
    assert engine.known_ids == before
