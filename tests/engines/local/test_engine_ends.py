"""What ends a reply, and a reply in channels: from what the files state and the template writes."""

from dataclasses import replace
from threading import Event

import pytest
from transformers import PreTrainedTokenizerFast

from glmcli.engines.local.engine import LocalEngine
from glmcli.engines.local.net.plain.reader import model_of
from glmcli.engines.local.prompt.template import ChatTemplate
from glmcli.types import GenerationParams, Message
from tests.support import tiny
from tests.support.templates import CHANNEL_TOKENS, CHANNELS, CHATML, GLM4
from tests.support.tiny_chat import NET, Saying, ask, text_of, user

HEADER = "<|channel|>{}<|message|>{}"
NEXT = "<|end|><|start|>assistant"


def tokenizer_of(template, *special, eos):
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=tiny.byte_level(*special), eos_token=eos)
    tokenizer.chat_template = template
    return tokenizer


def speaker(tokenizer, said, messages, *, ends=()):
    """An engine whose model says `said`, control tokens and all; `ends` are its stated ids."""
    template = ChatTemplate(tokenizer)
    reply = tokenizer.encode(said, add_special_tokens=False)
    prompt = template.encode(messages).ids
    model = replace(
        model_of(NET),
        reader=Saying(prompt, [*reply, *tokenizer.encode("never", add_special_tokens=False)], 450),
        stop_ids=frozenset(tokenizer.convert_tokens_to_ids(end) for end in ends),
    )
    return LocalEngine("sayer", model, template, context_tokens=1024)


CHANNELLED = tokenizer_of(CHANNELS, *CHANNEL_TOKENS, eos="<|return|>")
ENDS = ("<|return|>", "<|call|>", "<|endoftext|>")


def thought(chunks):
    return "".join(chunk.thinking for chunk in chunks)


@pytest.mark.parametrize(
    ("said", "thinking", "text"),
    [
        (
            HEADER.format("analysis", "The dog. ") + NEXT + HEADER.format("final", "A dog.\n "),
            "The dog.",
            "A dog.\n ",
        ),
        (HEADER.format("final", "A dog."), "", "A dog."),
        (
            HEADER.format("analysis", "One.")
            + NEXT
            + HEADER.format("commentary", " Two.")
            + NEXT
            + HEADER.format("final", "Three."),
            "One.\n\nTwo.",
            "Three.",
        ),
        (
            HEADER.format("analysis", "One.")
            + NEXT
            + HEADER.format("commentary to=functions.dog ", "{}<|call|>"),
            "One.\n\n{}",
            "",
        ),
        ("<|message|>A dog.", "", "A dog."),
        (" A dog.", "", "A dog."),
        (" The quick brown fox" * 20, "", (" The quick brown fox" * 20).lstrip()),
    ],
)
def test_analysis_and_commentary_are_thinking_and_final_is_the_answer(said, thinking, text):
    messages = user("hello")
    engine = speaker(CHANNELLED, said + "<|return|>", messages, ends=ENDS)
    chunks = ask(engine, messages, max_tokens=400)
    assert (thought(chunks), text_of(chunks)) == (thinking, text)
    assert chunks[-1].finish_reason == "stop"


def test_a_header_that_was_cut_is_not_shown():
    messages = user("hello")
    engine = speaker(CHANNELLED, HEADER.format("analysis", "One."), messages, ends=ENDS)
    for most in (1, 2, 3):
        chunks = list(engine.stream(messages, GenerationParams(max_tokens=most), Event()))
        assert text_of(chunks) == thought(chunks) == ""


def test_an_answer_goes_on_in_its_channel():
    messages = user("hello", "The quick")
    engine = speaker(CHANNELLED, " brown fox<|return|>", messages, ends=ENDS)
    assert text_of(ask(engine, messages)) == " brown fox"


def test_history_has_the_answer_alone():
    ids = ChatTemplate(CHANNELLED).encode(user("hello", "A dog.", "why")).ids
    assert CHANNELLED.decode(ids).endswith(
        "<|start|>assistant<|channel|>final<|message|>A dog.<|end|>"
        "<|start|>user<|message|>why<|end|><|start|>assistant"
    )


def test_channels_end_with_the_last_token_even_where_no_file_names_it():
    tokenizer = tokenizer_of(CHANNELS, *CHANNEL_TOKENS, eos="<|endoftext|>")
    said = HEADER.format("analysis", "Why.") + NEXT + HEADER.format("final", "So.") + "<|return|>"
    messages = user("hello")
    chunks = ask(speaker(tokenizer, said, messages), messages, max_tokens=200)
    assert (thought(chunks), text_of(chunks)) == ("Why.", "So.")


@pytest.mark.parametrize(
    ("template", "special", "end"),
    [
        (CHATML, ("<|endoftext|>", "<|im_start|>", "<|im_end|>"), "<|im_end|>"),
        (
            GLM4,
            ("[gMASK]", "<sop>", "<|endoftext|>", "<|system|>", "<|user|>", "<|assistant|>"),
            "<|user|>",
        ),
    ],
)
def test_the_template_s_end_of_turn_counts_where_the_files_name_none_that_it_writes(
    template, special, end
):
    tokenizer = tokenizer_of(template, *special, eos="<|endoftext|>")
    messages = user("hello")
    engine = speaker(tokenizer, f"A dog.{end}", messages, ends=["<|endoftext|>"])
    chunks = ask(engine, messages)
    assert (text_of(chunks), chunks[-1].finish_reason) == ("A dog.", "stop")


def test_what_the_files_state_wins_over_how_the_template_writes_past_replies():
    """The template closes past replies in one way and the last in another, which is stated."""
    template = CHATML.replace(
        "'<|im_end|>\\n' }}", "('<|im_end|>' if not loop.last else '<|eot|>') }}"
    )
    special = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|eot|>")
    tokenizer = tokenizer_of(template, *special, eos="<|eot|>")
    messages = user("hello")
    engine = speaker(tokenizer, "A<|im_end|> dog.<|eot|>", messages)
    assert text_of(ask(engine, messages)) == "A dog."


NO_SYSTEM = (
    "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}"
    "{% endif %}" + CHATML
)


@pytest.mark.parametrize(
    ("template", "system", "told"),
    [(NO_SYSTEM, "be kind", 1), (NO_SYSTEM, "", 0), (CHATML, "be kind", 0)],
)
def test_that_a_system_prompt_stands_elsewhere_is_told_where_there_is_one(template, system, told):
    messages = [Message("system", system), *user("hi")]
    tokenizer = tokenizer_of(template, eos="<|im_end|>")
    engine = speaker(tokenizer, "yes<|im_end|>", messages, ends=("<|im_end|>",))
    notices = [chunk for _ in range(2) for chunk in ask(engine, messages) if chunk.notice]
    assert len(notices) == 2 * told
    assert all("takes no system prompt" in each.notice and each.once for each in notices)
    assert not next(engine.stream(messages[1:], GenerationParams(), Event())).notice
