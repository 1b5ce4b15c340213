from __future__ import annotations

import json
import time

import pytest

from glmcli.engines.remote.refusals.reasons import inner_reasons, opened, useful_part

INNER = "maximum context length is 8192 tokens"


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


@pytest.mark.parametrize(
    "field",
    [
        {"metadata": {"raw": INNER, "provider_name": "X"}},
        {"metadata": {"raw": json.dumps({"error": {"message": INNER}})}},
        {"metadata": {"raw": json.dumps(json.dumps({"detail": INNER}))}},
        {"innererror": {"code": "Bad", "message": INNER}},
        {"details": [{"message": INNER}]},
        {"details": INNER},
        {"cause": {"error": {"message": INNER, "code": 400}}},
    ],
)
@pytest.mark.parametrize("wrap", [lambda e: e, lambda e: {"error": e}, lambda e: [{"error": e}]])
def test_what_a_gateway_passes_on_stands_behind_its_own_words(field, wrap):
    answer = opened(wrap({"message": "Provider returned error", "code": 400, **field}))
    assert useful_part(answer, "whole") == f"Provider returned error: {INNER}"
    assert INNER in inner_reasons(answer)


def test_json_in_the_message_itself_is_read():
    answer = {"error": {"message": json.dumps({"error": {"message": "too hot", "code": 1}})}}
    assert useful_part(opened(answer), "whole") == "too hot"


@pytest.mark.parametrize(
    ("field", "shown"),
    [
        ({"details": "why"}, "why"),
        ({"message": "it is why", "details": "why"}, "it is why"),
        ({"message": "why", "details": "it is why"}, "it is why"),
        ({"message": "why", "metadata": {"provider_name": "X"}}, "why"),
        ({"message": "why", "innererror": {"code": 500}}, "why"),
        ({"message": "why", "metadata": {"raw": "{half"}}, "why: {half"),
        ({"error": True, "message": "why"}, "why"),
    ],
)
def test_nothing_is_said_twice_or_made_up(field, shown):
    assert useful_part(opened(field), "whole") == shown


def test_endless_nesting_is_left_as_it_is():
    text = "x"
    for _ in range(12):
        text = json.dumps({"error": {"metadata": {"raw": text}}})
        if len(text) > 1_000_000:
            break
    started = time.monotonic()
    useful_part(opened(json.loads(text)), "whole")
    wide = {"details": [{"details": ["[" * 30_000] * 50}] * 50}
    assert len(inner_reasons(opened(wide))) <= 8
    assert time.monotonic() - started < 5
