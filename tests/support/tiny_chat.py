"""A tiny model to talk to, and what it says."""

import math
from threading import Event

import torch
from transformers import PreTrainedTokenizerFast

from glmcli.engines.local.engine import LocalEngine
from glmcli.engines.local.net.reader import BLOCK
from glmcli.engines.local.prompt.template import ChatTemplate
from glmcli.types import GenerationParams, Message
from tests.support import tiny
from tests.support.templates import CHATML

PARAMS = GenerationParams()
LONG = "The quick brown fox jumps over the lazy dog. " * 30


def tokenizer_of(template=CHATML, backend=None):
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend or tiny.byte_level(), eos_token="<|im_end|>"
    )
    tokenizer.chat_template = template
    return tokenizer


TOKENIZER = tokenizer_of()
TEMPLATE = ChatTemplate(TOKENIZER)
NET = tiny.llama(len(TOKENIZER))


def user(*texts):
    roles = ("user", "assistant")
    return [Message(roles[index % 2], text) for index, text in enumerate(texts)]


def ask(engine, messages, cancel=None, **params):
    params = {"max_tokens": 20, **params}
    return list(engine.stream(messages, GenerationParams(**params), cancel or Event()))


def text_of(chunks):
    return "".join(chunk.text for chunk in chunks)


def sampled(chunks):
    return [chunk for chunk in chunks if chunk.tokens]


def conversation(engine, turns, **params):
    """(prompt, cached, completion) tokens of each turn of a chat, and all its replies."""
    messages, counts, replies = [], [], []
    for turn in range(turns):
        messages.append(Message("user", f"question {turn}"))
        chunks = ask(engine, messages, **params)
        usage = chunks[-1].usage
        counts.append((usage.prompt_tokens, usage.cached_tokens, usage.completion_tokens))
        replies.append(text_of(chunks))
        messages.append(Message("assistant", replies[-1]))
    return counts, replies


class Forgetful(LocalEngine):
    """Reads every prompt whole."""

    def stream(self, messages, params, cancel):
        self.forget()
        return super().stream(messages, params, cancel)


class Saying:
    """What has read a prompt and says one thing, whatever the net."""

    whole_beyond, can_rewind, is_rounded = math.inf, True, False
    block = BLOCK
    memory_bytes = 0

    def __init__(self, prompt, said, vocabulary=None):
        self.all = [*prompt, *said]
        self.ids = []
        self.vocabulary = vocabulary or len(TOKENIZER)

    def read(self, ids, last=1):
        self.ids += ids
        assert self.ids == self.all[: len(self.ids)]
        scores = torch.zeros(last, self.vocabulary)
        scores[-1, self.all[len(self.ids)]] = 1.0
        return scores

    def rewind(self, tokens):
        del self.ids[tokens:]
        return True

    def forget(self):
        self.ids.clear()
