"""A text that is a prompt by itself goes past the template, as its tokenizer reads it."""

import pytest
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

from glmcli.engines.local.prompt.decoder import DecodedReply
from glmcli.engines.local.prompt.template import ChatTemplate
from glmcli.errors import UsageError
from glmcli.types import Message, Usage
from tests.support import tiny
from tests.support.templates import CHATML, REASONER


def make(template=CHATML, backend=None):
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend or tiny.byte_level(), eos_token="<|im_end|>"
    )
    tokenizer.chat_template = template
    return ChatTemplate(tokenizer), tokenizer


def raw(text):
    return [Message("raw", text)]


TEXTS = ("Once upon", " once", "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n", "你好\n")


@pytest.mark.parametrize("text", TEXTS)
def test_its_ids_are_those_of_its_tokenizer_names_of_control_tokens_too(text):
    template, tokenizer = make()
    assert template.encode(raw(text)).ids == tokenizer(text)["input_ids"]


def test_what_every_text_begins_with_stands_there_once():
    backend = tiny.byte_level()
    start = backend.token_to_id("<|im_start|>")
    backend.post_processor = TemplateProcessing(
        single="<|im_start|> $A", special_tokens=[("<|im_start|>", start)]
    )
    template, tokenizer = make(backend=backend)
    assert template.encode(raw("hi")).ids == tokenizer("hi")["input_ids"]
    assert template.encode(raw("<|im_start|>hi")).ids == tokenizer("hi")["input_ids"]


def test_a_rendered_conversation_is_the_conversation():
    template, tokenizer = make()
    messages = [Message("user", "hello")]
    rendered = tokenizer.apply_chat_template(
        [{"role": "user", "content": "hello"}], tokenize=False, add_generation_prompt=True
    )
    assert template.encode(raw(rendered)).ids == template.encode(messages).ids


def test_what_follows_is_text_marks_and_blanks_too():
    template, tokenizer = make(REASONER)
    prompt = template.encode(raw("x"))
    reply = DecodedReply(template.decoder(prompt), template.parts(prompt))
    said = " <think>a</think> b"
    chunks = [reply.push(token) for token in tokenizer(said)["input_ids"]]
    chunks.append(reply.end("stop", Usage()))
    assert "".join(chunk.text for chunk in chunks) == said
    assert not any(chunk.thinking for chunk in chunks)


def test_it_stands_alone():
    with pytest.raises(UsageError, match="by itself"):
        make()[0].encode([*raw("x"), Message("user", "hello")])
