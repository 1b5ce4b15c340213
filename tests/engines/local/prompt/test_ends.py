"""A checkpoint's stop strings end a reply where transformers' `generate` ends it."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast
from transformers.generation.stopping_criteria import StopStringCriteria

from glmcli.engines.local.prompt.decoder import BytesDecoder, DecodedReply, TokenBytes
from glmcli.engines.local.prompt.ends import TokenStops
from glmcli.engines.reply import Marks, Reasoning
from glmcli.types import Usage
from tests.support import tiny

TOKENIZERS = {
    "byte-level": tiny.byte_level(),
    "llama": tiny.byte_tokens("llama"),
    "gemma": tiny.byte_tokens("gemma"),
}
FAST = {name: PreTrainedTokenizerFast(tokenizer_object=one) for name, one in TOKENIZERS.items()}
BYTES = {name: TokenBytes(tokenizer) for name, tokenizer in TOKENIZERS.items()}
SPECIAL = {"byte-level": "<|endoftext|>", "llama": "</s>", "gemma": "<s>"}


def stop_at(name, prompt, ids, stops):
    """How many ids come before `generate` stops."""
    criteria = StopStringCriteria(FAST[name], list(stops))
    for count in range(1, len(ids) + 1):
        if criteria(torch.tensor([[*prompt, *ids[:count]]]), None)[0]:
            return count
    return None


def shown(name, ids, *, stop=(), stated=(), before=(), thinking=False):
    """The text and the thinking of a reply, and after how many ids it stopped, if it did."""
    decoder, parts = BytesDecoder(BYTES[name]), Reasoning(Marks(), thinking=thinking)
    reply = DecodedReply(decoder, parts, stop=stop, stated=stated, before=before)
    chunks = []
    for token in ids:
        chunks.append(reply.push(token))
        if reply.stopped:
            break
    count = reply.tokens if reply.stopped else None
    chunks.append(reply.end("stop", Usage(completion_tokens=reply.tokens)))
    return "".join(c.text for c in chunks), "".join(c.thinking for c in chunks), count


@pytest.mark.skipif(
    not hasattr(StopStringCriteria, "_get_stop_string_matching_mode"),
    reason="earlier releases of transformers looked for stop strings in the names of tokens",
)
@pytest.mark.parametrize("name", TOKENIZERS)
@given(data=st.data())
def test_they_end_a_reply_at_the_same_token_as_generate(name, data):
    size = len(FAST[name])
    ids = data.draw(st.lists(st.integers(0, size - 1), min_size=1, max_size=12))
    prompt = data.draw(st.lists(st.integers(0, size - 1), min_size=1, max_size=4))
    names = b"".join(BytesDecoder(BYTES[name]).spelled(token) for token in [*prompt, *ids])
    text = names.decode(errors="replace")
    start = data.draw(st.integers(0, len(text) - 1))
    stop = text[start : start + data.draw(st.integers(1, 6))]
    stops = data.draw(st.sampled_from([[stop], [stop, "th"], ["\ufffd", stop]]))
    assert shown(name, ids, stated=stops, before=prompt)[2] == stop_at(name, prompt, ids, stops)


@pytest.mark.parametrize("name", TOKENIZERS)
def test_a_special_token_is_a_stop_string_by_its_name(name):
    encode = TOKENIZERS[name].encode
    special = TOKENIZERS[name].token_to_id(SPECIAL[name])
    before, behind = (encode(text, add_special_tokens=False).ids for text in ("one", "two"))
    ids = [*before, special, *behind]
    count = len(before) + 1
    for kind in ("stated", "stop"):
        for stop in (SPECIAL[name], f"e{SPECIAL[name]}", SPECIAL[name][1:3]):
            said = "on" if stop.startswith("e") and stop != SPECIAL[name][1:3] else "one"
            assert shown(name, ids, **{kind: [stop]}) == (said, "", count)


@pytest.mark.parametrize("stop", ["own fo", "b", "🙂", "x 🙂", "\n\ny", "fox b🙂 x 🙂"])
def test_neither_a_stop_string_nor_what_follows_it_is_shown(stop):
    text = "brown fox b🙂 x 🙂\n\nyes"
    ids = TOKENIZERS["byte-level"].encode(text).ids
    for kind in ("stated", "stop"):
        said, _, count = shown("byte-level", ids, **{kind: [stop]})
        assert said == text.partition(stop)[0]
        assert count is not None


@pytest.mark.parametrize("text", ["one EN", "EN", "E", "one EN🙂"])
def test_what_is_no_stop_string_after_all_is_shown(text):
    ids = TOKENIZERS["byte-level"].encode(text).ids
    assert shown("byte-level", ids, stated=["END", "EN🙂D"]) == (text, "", None)


def test_a_stated_stop_string_counts_in_thinking_and_a_typed_one_in_the_answer():
    ids = TOKENIZERS["byte-level"].encode("why stop\n</think>\n\nno stop now").ids
    assert shown("byte-level", ids, thinking=True, stop=["stop"])[:2] == ("no ", "why stop")
    assert shown("byte-level", ids, thinking=True, stated=["stop"])[:2] == ("", "why")


def test_a_special_token_in_thinking_is_no_typed_stop_string():
    encode, special = TOKENIZERS["byte-level"].encode, SPECIAL["byte-level"]
    ids = encode(f"why{special} not</think>so{special}more").ids
    assert shown("byte-level", ids, thinking=True, stop=[special])[:2] == ("so", "why not")


def test_a_stop_string_may_begin_in_the_prompt_and_not_end_there():
    spell = {0: b"a\n", 1: b"\nb", 2: b"\n\n"}.__getitem__
    assert not TokenStops(["\n\n"], spell, [0]).push(1).tokens
    begun, ended = TokenStops(["\n\n"], spell, [0]), TokenStops(["\n\n"], spell, [0, 2])
    begun.push(1)
    ended.push(0)
    assert (begun.hit, ended.hit) == (True, False)
