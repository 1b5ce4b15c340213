from __future__ import annotations

import pytest

from glmcli.engines.remote.faults import Faults, one_line, useful_part
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


@pytest.mark.parametrize(
    ("answer", "part"),
    [
        ({"error": {"message": "a", "type": "b"}}, "a"),
        ({"error": "a"}, "a"),
        ({"object": "error", "message": "a", "code": 1}, "a"),
        ({"detail": {"error": {"message": "", "code": "a"}}}, "a"),
        ({"detail": [{"loc": [0], "msg": "a"}]}, "a"),
        ({"detail": []}, "whole"),
        ({"other": 1}, "whole"),
        ([], "whole"),
        (None, "whole"),
        (3.5, "whole"),
    ],
)
def test_the_useful_part_of_an_error_is_found_wherever_it_is(answer, part):
    assert useful_part(answer, "whole") == part


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


def test_an_empty_answer_is_called_nothing():
    fault = Faults("server.test").garbled(b"")
    assert fault.message == "server.test sent an unreadable message: nothing"
