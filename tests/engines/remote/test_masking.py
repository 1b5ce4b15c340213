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


@pytest.mark.parametrize(
    "spelled",
    [
        KEY,
        f"Bearer {KEY}",
        quote(KEY, safe=""),
        json.dumps({"k": KEY}),
        base64.b64encode(f"user:{KEY}".encode()).decode(),
        base64.urlsafe_b64encode(f"me:{KEY}".encode()).decode(),
        KEY[:15],
        KEY[9:22],
    ],
)
def test_a_key_is_masked_however_it_is_spelled(spelled):
    shown = Mask([KEY])(f"no entry for {spelled}!")
    assert MASKED in shown
    assert KEY[:12] not in shown
    assert KEY[-12:] not in shown
    assert shown.startswith("no entry for")
    assert shown.endswith("!")


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
