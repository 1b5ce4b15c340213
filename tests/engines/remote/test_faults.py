from __future__ import annotations

import json

import pytest

from glmcli.engines.remote.faults import Faults, one_line
from glmcli.errors import ConnectionLost, EngineError


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("two\nlines\r\n", "two lines"),
        (" \x1b[31mred\t\x1b[0m ", "\x1b[31mred \x1b[0m"),
        ("left\u202eright\u2066\u200b", "left\u202eright\u2066\u200b"),
        ("你好🙂", "你好🙂"),
        ("x" * 600, "x" * 499 + "…"),
    ],
)
def test_text_of_strangers_is_shown_in_one_line(text, shown):
    assert one_line(text) == shown


def test_the_cause_of_a_workers_error_is_in_its_parentheses():
    text = "**NETWORK ERROR DUE TO HIGH TRAFFIC.**\n\n(index (3) out of\nrange)"
    fault = Faults("server.test").worker(50001, text)
    assert fault.message == "server.test failed (50001): index (3) out of range"


@pytest.mark.parametrize(
    ("code", "kind", "said"),
    [
        (50002, EngineError, "memory is full"),
        (50005, EngineError, "no worker"),
        (50006, ConnectionLost, "does not answer"),
        (40303, EngineError, "(40303): why"),
    ],
)
def test_a_code_is_told_in_words(code, kind, said):
    fault = Faults("server.test").worker(code, "why")
    assert isinstance(fault, kind)
    assert said in fault.message
    assert fault.advice()


def test_a_key_in_what_a_gateway_passes_on_is_not_shown():
    key = "sk-" + "0123456789abcdef" * 2
    raw = json.dumps({"error": {"message": f"the key {key} is no good"}})
    faults = Faults("server.test", keys=[key])
    fault = faults.failed({"error": {"message": "Refused", "metadata": {"raw": raw}}})
    assert fault.message == "server.test failed: Refused: the key [key] is no good"
    assert key not in repr(fault.answer)


def test_an_empty_answer_is_called_nothing():
    fault = Faults("server.test").garbled(b"")
    assert fault.message == "server.test sent an unreadable message: nothing"
