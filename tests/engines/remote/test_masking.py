"""A key is nowhere to be seen, however a server writes it, and a word is not taken for a key."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glmcli.engines.remote.masking import MASKED, Mask, MaskedText

KEY = "sk-proj/0123456789+abcdefgh"


SPELLED = {
    "as it is": KEY,
    "in a header": f"Bearer {KEY}",
    "in an address": quote(KEY, safe=""),
    "each letter in percent": "".join(f"%{ord(char):02x}" for char in KEY),
    "in percent twice": quote(quote(KEY, safe=""), safe=""),
    "in JSON": json.dumps({"k": KEY}),
    "with slashes as PHP writes them": KEY.replace("/", "\\/"),
    "in JSON in JSON": json.dumps(json.dumps(KEY.replace("/", "\\/"))),
    "each letter in JSON": "".join(f"\\u{ord(char):04x}" for char in KEY),
    "each letter in a program": "".join(f"\\x{ord(char):02X}" for char in KEY),
    "each letter in HTML": "".join(f"&#{ord(char)};" for char in KEY),
    "each letter in HTML twice": "".join(f"&amp;#x{ord(char):x};" for char in KEY),
    "slashes in HTML": KEY.replace("/", "&sol;"),
    "base64 behind a name": base64.b64encode(f"user:{KEY}".encode()).decode(),
    "base64 for addresses": base64.urlsafe_b64encode(f"me:{KEY}".encode()).decode(),
    "base64 cut short": base64.b64encode(KEY.encode()).decode()[:-5],
    "base64 in an address": quote(base64.b64encode(KEY.encode()).decode(), safe=""),
    "hexadecimal": KEY.encode().hex(),
    "hexadecimal in capitals": KEY.encode().hex().upper(),
    "backwards": KEY[::-1],
    "in capitals": KEY.upper(),
    "with a colour in it": f"{KEY[:5]}\x1b[31m{KEY[5:]}",
    "with a title in it": f"{KEY[:5]}\x1b]0;x\x07{KEY[5:]}",
    "with nothing in it": "\u200b".join(KEY),
    "with marks in it": "\u0301".join(KEY),
    "with line ends in it": "\r\n".join([KEY[:9], KEY[9:]]),
    "in two bytes a letter": KEY.encode("utf-16-le").decode("ascii"),
    "the first part": KEY[:15],
    "the middle": KEY[9:22],
    "without its last letter": KEY[:-1],
    "without its first letter": KEY[1:],
}
"""How servers write a key, on purpose or not."""


AROUND = {
    "in a header": "Bearer [key]",
    "in JSON": '{"k": "[key]"}',
    "in JSON in JSON": json.dumps(json.dumps(MASKED)),
    "base64 behind a name": "dXNlcjp[key]g=",
    "base64 for addresses": "bWU6[key]",
    "base64 cut short": "[key]",
    "in two bytes a letter": "[key]\0",
}
"""What is left of a spelling, where that is more than the mark."""
INNER = {"the middle", "without its first letter"}
"""Parts from within a key, which a reply tells by their fourth letter."""


@pytest.mark.parametrize("name", SPELLED)
def test_a_key_is_masked_in_each_spelling_that_is_promised(name):
    left = AROUND.get(name, MASKED)
    assert Mask([KEY])(f"no entry for {SPELLED[name]}!") == f"no entry for {left}!"


@pytest.mark.parametrize("name", sorted(SPELLED.keys() - INNER))
@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_a_reply_is_masked_in_the_same_spellings_as_an_error(name, size):
    left = AROUND.get(name, MASKED)
    text = f"no entry for {SPELLED[name]}! Good bye"
    assert in_deltas(text, size) == f"no entry for {left}! Good bye"


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_a_reply_shows_three_letters_at_most_of_a_part_from_within_a_key(size):
    shown = in_deltas(f"no entry for {KEY[5:]}! Good bye", size)
    left = shown.removeprefix("no entry for ").removesuffix("[key]! Good bye")
    assert len(left) <= 3
    assert KEY[5:].startswith(left)


def in_deltas(text: str, size: int) -> str:
    """What is shown of a reply that comes in deltas of one size."""
    masked = MaskedText(Mask([KEY]))
    shown = "".join(masked.push(text[at : at + size]) for at in range(0, len(text), size))
    return shown + masked.flush()


def test_what_may_be_a_key_is_not_held_back_for_ever():
    masked = MaskedText(Mask([KEY]))
    shown = "".join(masked.push(delta) for delta in ["s", *["\u200b"] * 3000])
    assert len(shown) > 2000


@pytest.mark.parametrize(
    "text", ["100%", "R&D", "a\\", "\x1b[", "50 % & more\n", "İ ß 你好 \u200b", "%zz&#;\\u12"]
)
@pytest.mark.parametrize("size", [1, 2, 1000])
def test_what_only_looks_like_an_escape_is_shown_as_it_is(text, size):
    assert in_deltas(text, size) == Mask([KEY])(text) == text


@given(st.binary(max_size=5), st.binary(max_size=5))
def test_base64_hides_no_key_wherever_it_begins(before, after):
    packed = base64.b64encode(before + KEY.encode() + after).decode()
    assert MASKED in Mask([KEY])(packed)


def test_all_keys_of_the_user_are_masked():
    assert Mask([KEY, "", "another-key"])(f"{KEY} another-key") == f"{MASKED} {MASKED}"


@pytest.mark.parametrize(
    ("key", "text", "shown"),
    [
        ("EMPTY", "key EMPTY is wrong", "key [key] is wrong"),
        ("EMPTY", "EMPTYING the cache", "EMPTYING the cache"),
        ("x", "axes of x", "axes of [key]"),
        ("", "nothing", "nothing"),
    ],
)
def test_a_short_key_is_masked_only_where_it_stands_alone(key, text, shown):
    assert Mask([key])(text) == shown


def test_a_reply_may_hold_a_word_that_is_a_key_too():
    assert MaskedText(Mask(["EMPTY"])).push("the list is EMPTY") == "the list is EMPTY"


@given(st.integers(1, 9), st.text(max_size=20), st.text(max_size=20))
def test_a_key_is_masked_in_a_reply_wherever_it_is_cut(size, before, after):
    text = before + KEY + after
    masked = MaskedText(Mask([KEY]))
    shown = "".join(masked.push(text[at : at + size]) for at in range(0, len(text), size))
    assert shown + masked.flush() == before + MASKED + after


@given(st.lists(st.text(alphabet="sk-proj/01", max_size=8), max_size=8))
def test_a_reply_without_a_key_is_not_changed(deltas):
    masked = MaskedText(Mask([KEY]))
    assert "".join(map(masked.push, deltas)) + masked.flush() == "".join(deltas)


def test_most_of_a_key_is_not_shown_where_a_reply_breaks():
    masked = MaskedText(Mask([KEY]))
    assert masked.push(f"it is {KEY[:-1]}") == "it is "
    assert masked.flush() == MASKED


def test_json_is_masked_in_all_its_texts():
    answer = {"a": [KEY, 1, None], KEY: {"b": f"<{KEY}>"}}
    assert Mask([KEY]).value(answer) == {"a": [MASKED, 1, None], MASKED: {"b": f"<{MASKED}>"}}
