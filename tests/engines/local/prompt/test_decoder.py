"""Ids become text as they arrive, and nothing that was shown is ever taken back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, models

from glmcli.conversation.reasoning import held_back
from glmcli.engines.local.prompt.decoder import ANSWER_MARKS, BytesDecoder, DecodedReply, TokenBytes
from glmcli.engines.reply import Marks, Reasoning, StopStrings
from glmcli.errors import EngineError, ModelError
from glmcli.types import Usage
from tests.support import tiny

TOKENIZERS = {
    "byte-level": tiny.byte_level(),
    "llama": tiny.byte_tokens("llama"),
    "gemma": tiny.byte_tokens("gemma"),
    "mistral": tiny.byte_tokens("mistral"),
    "metaspace": tiny.metaspace(),
}
BYTES = {name: TokenBytes(tokenizer) for name, tokenizer in TOKENIZERS.items()}
TEXTS = st.text(
    st.one_of(st.characters(codec="utf-8"), st.sampled_from("aé你🙂 \n\u200d▁\ufffd")), max_size=30
)


def streamed(name: str, ids: list[int], *, at_start: bool = True) -> str:
    decoder = BytesDecoder(BYTES[name], at_start=at_start)
    return "".join(map(decoder.push, ids)) + decoder.flush()


def random_ids(name: str) -> st.SearchStrategy[list[int]]:
    size = TOKENIZERS[name].get_vocab_size()
    return st.lists(st.integers(0, size + 5), max_size=40)


@given(random_ids("byte-level"))
def test_byte_level_deltas_equal_one_decode_of_any_ids(ids):
    assert streamed("byte-level", ids) == TOKENIZERS["byte-level"].decode(ids)


@given(random_ids("metaspace"))
def test_metaspace_deltas_equal_one_decode_of_any_ids(ids):
    assert streamed("metaspace", ids) == TOKENIZERS["metaspace"].decode(ids)


@pytest.mark.parametrize("name", ["llama", "gemma", "mistral"])
@given(data=st.data())
def test_byte_token_deltas_equal_one_decode_where_the_bytes_are_utf8(name, data):
    ids = data.draw(random_ids(name))
    whole = TOKENIZERS[name].decode(ids)
    if "\ufffd" not in whole:
        assert streamed(name, ids) == whole


@pytest.mark.parametrize("name", ["llama", "gemma", "mistral"])
@given(data=st.data())
def test_every_byte_that_is_no_utf8_becomes_one_mark_and_spares_the_rest(name, data):
    tokenizer = TOKENIZERS[name]
    raw = data.draw(st.binary(max_size=12))
    ids = [tokenizer.token_to_id("a"), *(tokenizer.token_to_id(f"<0x{byte:02X}>") for byte in raw)]
    expected = raw.decode("utf-8", "surrogateescape")
    expected = "".join("\ufffd" if "\udc80" <= c <= "\udcff" else c for c in expected)
    assert streamed(name, ids) == "a" + expected


@pytest.mark.parametrize("name", TOKENIZERS)
@given(text=TEXTS)
def test_deltas_of_encoded_text_equal_one_decode(name, text):
    ids = TOKENIZERS[name].encode(text, add_special_tokens=False).ids
    assert streamed(name, ids) == TOKENIZERS[name].decode(ids)


@pytest.mark.parametrize("name", ["byte-level", "llama", "gemma", "mistral"])
def test_half_a_character_is_never_shown(name):
    ids = TOKENIZERS[name].encode("go 𝄞🦉 on", add_special_tokens=False).ids
    decoder = BytesDecoder(BYTES[name])
    shown = [decoder.push(token) for token in ids]
    assert "\ufffd" not in "".join(shown)
    assert "" in shown
    assert "".join(shown) == "go 𝄞🦉 on"


def test_half_a_character_at_the_end_is_marked():
    ids = TOKENIZERS["byte-level"].encode("a🦉").ids[:-1]
    assert streamed("byte-level", ids) == "a\ufffd"


@pytest.mark.parametrize(("at_start", "text"), [(True, "world"), (False, " world")])
def test_the_first_blank_is_dropped_only_where_a_text_starts(at_start, text):
    ids = TOKENIZERS["llama"].encode("world", add_special_tokens=False).ids
    assert streamed("llama", ids, at_start=at_start) == text


def test_special_tokens_show_nothing():
    tokenizer = TOKENIZERS["byte-level"]
    ids = [tokenizer.token_to_id("<|im_start|>"), *tokenizer.encode("hello").ids]
    assert streamed("byte-level", ids) == "hello"


def test_each_id_is_looked_up_once():
    class Counting:
        def __init__(self):
            self.calls = 0

        def __getattr__(self, name):
            return getattr(TOKENIZERS["llama"], name)

        def decode(self, ids):
            self.calls += 1
            assert len(ids) <= 2
            return TOKENIZERS["llama"].decode(ids)

    counting = Counting()
    decoder = BytesDecoder(TokenBytes(counting))
    ids = TOKENIZERS["llama"].encode("the lazy dog").ids
    for token in ids:
        decoder.push(token)
    before = counting.calls
    for token in ids * 100:
        decoder.push(token)
    assert counting.calls == before


def test_a_vocabulary_without_text_is_refused():
    class Empty:
        def get_vocab_size(self):
            return 3

        def decode(self, ids):
            return ""

        def token_to_id(self, token):
            return None

    with pytest.raises(ModelError, match="no text"):
        TokenBytes(Empty())


@pytest.mark.parametrize("family_mark", ["[gMASK]", "[MASK]"])
def test_marks_around_answers_of_glm_are_no_text(family_mark):
    """Other models may be asked for `<answer>`, and what reads them looks for it."""
    tokenizer = Tokenizer.from_str(TOKENIZERS["byte-level"].to_str())
    tokenizer.add_tokens(
        [AddedToken(mark, normalized=False) for mark in (*ANSWER_MARKS, family_mark)]
    )
    ids = tokenizer.encode("so <answer><|begin_of_box|>[1, 2]<|end_of_box|></answer>.").ids
    for at_start in (True, False):
        decoder = BytesDecoder(TokenBytes(tokenizer), at_start=at_start)
        text = "".join(map(decoder.push, ids)) + decoder.flush()
        assert text == ("so [1, 2]." if family_mark == "[gMASK]" else tokenizer.decode(ids))
    only = BytesDecoder(TokenBytes(tokenizer), at_start=True)
    assert bool(only.push(tokenizer.token_to_id("<answer>"))) == (family_mark != "[gMASK]")


def word_level(*words: str) -> Tokenizer:
    return Tokenizer(models.WordLevel({word: id for id, word in enumerate(words)}, words[0]))


def test_a_token_with_a_text_without_end_is_refused():
    token_bytes = TokenBytes(word_level("hi", "x" * 60_000_000))
    with pytest.raises(ModelError, match="a token has more than 10,000 letters"):
        token_bytes.inside(1)


def test_a_reply_without_end_is_stopped():
    decoder = BytesDecoder(TokenBytes(word_level("x" * 4_000)))
    reply, size = DecodedReply(decoder, Reasoning(Marks())), 0
    with pytest.raises(EngineError, match="the reply has more than 2,000,000 characters"):
        for _ in range(1_000):
            size += len(reply.push(0).text)
    assert size <= 2_000_000


def test_held_back_finds_the_longest_start_of_a_mark():
    assert held_back("a</thi", ["</think>"]) == 5
    assert held_back("a</think>", ["</think>"]) == 0
    assert held_back("", ["ab"]) == 0
    assert held_back("xaa", ["aab", "aaa"]) == 2


def stopped(stops, deltas):
    filter_ = StopStrings(stops)
    shown = "".join(map(filter_.push, deltas))
    return shown + filter_.flush(), filter_.hit


def pieces(text, data):
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
    return [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]


LETTERS = st.text("ab", max_size=12)


@given(LETTERS, st.lists(st.text("ab", min_size=1, max_size=4), max_size=3), st.data())
def test_a_stop_string_ends_the_text_wherever_the_deltas_are_cut(text, stops, data):
    whole = stopped(stops, [text])
    assert stopped(stops, pieces(text, data)) == whole
    assert whole[1] == any(stop in text for stop in stops)
    assert text.startswith(whole[0])
    if not whole[1]:
        assert whole[0] == text


def test_a_stop_string_is_not_shown_and_what_precedes_it_is():
    assert stopped(["END"], ["one E", "N", "D two"]) == ("one ", True)


def test_half_a_stop_string_is_shown_when_the_reply_ends():
    assert stopped(["END"], ["one E", "N"]) == ("one EN", False)


def test_an_empty_stop_string_stops_nothing():
    assert stopped([""], ["text"]) == ("text", False)


def parted(marks, deltas, *, thinking=False):
    reasoning = Reasoning(marks, thinking=thinking)
    parts = [reasoning.push(delta) for delta in deltas]
    parts.append(reasoning.flush())
    return "".join(part[0] for part in parts), "".join(part[1] for part in parts)


@pytest.mark.parametrize(
    ("text", "thinking", "reply"),
    [
        ("<think>\nwhy\n\nnot\n</think>\n\nBecause.", "why\n\nnot", "Because."),
        ("\n <think>why</think>Because <think>", "why", "Because <think>"),
        ("<think>\n\n</think>\n\nBecause.", "", "Because."),
        ("  Plain, with blanks. ", "", "  Plain, with blanks. "),
        ("<thin air", "", "<thin air"),
        ("<think", "", "<think"),
        ("Say <think>this</think>", "", "Say <think>this</think>"),
        ("<think>never closed </thi", "never closed </thi", ""),
        (" \n", "", " \n"),
    ],
)
@given(data=st.data())
def test_reasoning_is_parted_from_text_wherever_the_deltas_are_cut(text, thinking, reply, data):
    assert parted(Marks(), pieces(text, data)) == (thinking, reply)


@given(st.data())
def test_a_prompt_may_have_opened_the_reasoning(data):
    deltas = pieces("\nwhy\n</think>\n\nBecause.", data)
    assert parted(Marks(), deltas, thinking=True) == ("why", "Because.")


def reply_of(ids, marks, *, name="byte-level", reason="stop", thinking=False, stop=()):
    parts = Reasoning(marks, thinking=thinking)
    reply = DecodedReply(BytesDecoder(BYTES[name]), parts, stop=stop)
    chunks = []
    for token in ids:
        chunks.append(reply.push(token))
        if reply.stopped:
            break
    usage = Usage(completion_tokens=reply.tokens)
    return [*chunks, reply.end(reason, usage)]


def joined(chunks):
    return "".join(c.thinking for c in chunks), "".join(c.text for c in chunks)


def test_marks_known_as_tokens_are_not_looked_for_in_letters():
    tokenizer = TOKENIZERS["byte-level"]
    mark = tokenizer.token_to_id("<think>")
    close = tokenizer.token_to_id("<|endoftext|>")
    marks = Marks(open_id=mark, close_id=close)
    quoted = tokenizer.encode("</th").ids + tokenizer.encode("ink> ok").ids
    ids = [mark, *quoted, close, *tokenizer.encode("\n\nYes").ids, mark]
    assert joined(reply_of(ids, marks)) == ("</think> ok", "Yes<think>")
    spelled = tokenizer.encode("<thi").ids + tokenizer.encode("nk>x").ids
    assert joined(reply_of(spelled, marks)) == ("", "<think>x")


def test_every_id_makes_one_chunk_that_counts_one_token():
    ids = TOKENIZERS["byte-level"].encode("a🦉 b").ids
    *chunks, last = reply_of(ids, Marks(), stop=["zzz"])
    assert [chunk.tokens for chunk in chunks] == [1] * len(ids)
    assert any(chunk.text == "" for chunk in chunks)
    assert (last.tokens, last.finish_reason) == (0, "stop")
    assert last.usage == Usage(completion_tokens=len(ids))


def test_the_last_chunk_brings_what_was_held_back():
    ids = TOKENIZERS["byte-level"].encode("one EN").ids
    *chunks, last = reply_of(ids, Marks(), stop=["END"])
    assert joined(chunks)[1] == "one "
    assert last.text == "EN"


@pytest.mark.parametrize("name", ["byte-level", "llama", "gemma", "mistral"])
@pytest.mark.parametrize("reason", ["length", "cancelled"])
def test_a_reply_that_is_cut_inside_a_character_ends_before_it(name, reason):
    ids = TOKENIZERS[name].encode("a🦉", add_special_tokens=False).ids
    for cut in range(len(ids)):
        said = joined(reply_of(ids[:cut], Marks(), name=name, reason=reason))
        assert said == ("", TOKENIZERS[name].decode(ids[:cut]).rstrip("\ufffd"))
    thought = joined(reply_of(ids[:-1], Marks(), name=name, reason=reason, thinking=True))
    assert thought == ("a", "")


@pytest.mark.parametrize("reason", ["length", "cancelled"])
def test_what_might_have_become_a_stop_string_is_shown_when_a_reply_is_cut(reason):
    ids = TOKENIZERS["byte-level"].encode("one EN🦉").ids[:-1]
    chunks = reply_of(ids, Marks(), reason=reason, stop=["END", "EN🦉"])
    assert joined(chunks) == ("", "one EN")


@pytest.mark.parametrize("reason", ["stop", "length", "cancelled"])
def test_bytes_that_no_id_could_have_made_a_character_are_marked(reason):
    tokenizer = TOKENIZERS["byte-level"]
    broken = [*tokenizer.encode("a🦉").ids[:-1], *tokenizer.encode("b").ids]
    assert joined(reply_of(broken, Marks(), reason=reason)) == ("", "a\ufffdb")


def test_a_reply_that_ends_by_itself_inside_a_character_says_so():
    ids = TOKENIZERS["byte-level"].encode("a🦉").ids[:-1]
    assert joined(reply_of(ids, Marks())) == ("", "a\ufffd")


def test_a_stop_string_ends_the_reply_but_not_the_reasoning():
    ids = TOKENIZERS["byte-level"].encode("stop now</think>go on stop now").ids
    chunks = reply_of(ids, Marks(), thinking=True, stop=["stop"])
    assert joined(chunks) == ("stop now", "go on ")
