"""Dates of conversations in JSON."""

from __future__ import annotations

import json

import pytest

from glmcli.conversation.dates import date_of, dates_record
from glmcli.conversation.transcript import parse_conversations, to_json
from glmcli.types import Conversation, Message

NOON = 1769860800.25
WRITTEN = "2026-01-31T12:00:00.250000Z"


def test_a_date_is_iso_8601_in_utc_and_is_read_back():
    assert dates_record(created=NOON, updated=None) == {"created": WRITTEN}
    assert date_of(WRITTEN) == NOON


@pytest.mark.parametrize(
    "text", ["2026-01-31T12:00:00.25", "2026-01-31T13:00:00.25+01:00", "2026-01-31 12:00:00.250Z"]
)
def test_a_date_of_another_program_is_read(text):
    assert date_of(text) == NOON
    assert date_of(NOON) == NOON


@pytest.mark.parametrize(
    "value",
    [
        *("", "yesterday", "9999999-99-99", "0001-01-01", "9999-12-31T23:59:59-14:00"),
        *(None, True, [], {}, -1, 1e999, float("nan"), 10**400, 9e9),
    ],
)
def test_what_is_no_moment_of_the_past_is_no_date(value):
    assert date_of(value) is None


def test_the_dates_of_a_conversation_are_written_and_read():
    messages = [Message("user", "a", created=NOON), Message("assistant", "b", created=NOON + 1)]
    chat = Conversation(id="abcd", messages=messages, updated=NOON + 2)
    record = json.loads(to_json(chat))
    assert (record["created"], record["messages"][0]["created"]) == (WRITTEN, WRITTEN)
    (read,) = parse_conversations(to_json(chat))
    assert [each.created for each in read.messages] == [NOON, NOON + 1]
    assert read.updated == NOON + 2


def test_what_has_no_date_of_its_own_has_that_of_the_whole():
    messages = [{"role": "user", "content": "a"}, {"role": "user", "content": "b", "created": NOON}]
    text = json.dumps({"created": NOON - 9, "messages": messages})
    (read,) = parse_conversations(text)
    assert [each.created for each in read.messages] == [NOON - 9, NOON]
    assert read.updated == NOON
    (bare,) = parse_conversations(json.dumps({"messages": messages[:1]}))
    assert (bare.messages[0].created, bare.updated) == (None, None)
