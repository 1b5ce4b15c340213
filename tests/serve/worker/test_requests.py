from __future__ import annotations

import pytest

from glmcli.serve.refusal import Refusal
from glmcli.serve.worker.requests import asked_prompt
from glmcli.types import GenerationParams

CONTROLS = {2: "</s>", 64795: "<|user|>"}


def params(**fields) -> GenerationParams:
    return asked_prompt({"prompt": "hi", **fields}, CONTROLS).params


def test_what_was_not_sent_is_as_fastchat_has_it():
    asked = asked_prompt({"prompt": "hi"}, CONTROLS)
    assert (asked.prompt, asked.echo, asked.ignored) == ("hi", True, ())
    assert asked.params == GenerationParams(256, 1.0, 1.0, 0, 1.0)
    nulls = dict.fromkeys(("temperature", "top_p", "top_k", "max_new_tokens", "stop", "logprobs"))
    assert asked_prompt({"prompt": "hi", **nulls}, CONTROLS) == asked


@pytest.mark.parametrize("field", [{"temperature": 1e-6}, {"temperature": -1}, {"top_p": 0}])
def test_it_is_greedy_where_fastchat_is(field):
    assert params(**field).temperature == 0


def test_values_are_followed_and_those_that_are_off_are_off():
    sent = {"temperature": "0.7", "top_p": 0.9, "top_k": 40, "max_new_tokens": 8}
    assert params(**sent, repetition_penalty=1.2) == GenerationParams(8, 0.7, 0.9, 40, 1.2)
    off = params(top_k=-1, repetition_penalty=0.5, top_p=3)
    assert (off.top_k, off.repetition_penalty, off.top_p) == (0, 1.0, 1.0)


def test_texts_and_control_tokens_end_a_reply_ids_of_another_vocabulary_do_not():
    assert params(stop="###").stop == ("###",)
    assert params(stop=["a", "", "b"], stop_token_ids=[64795, 2]).stop == (
        *("a", "b"),
        *("<|user|>", "</s>"),
    )
    asked = asked_prompt({"prompt": "hi", "stop_token_ids": [32000], "best_of": 2}, CONTROLS)
    assert asked.params.stop == ()
    assert asked.ignored == ("best_of", "stop_token_ids 32000")


@pytest.mark.parametrize(
    "field",
    [
        {"prompt": ""},
        {"prompt": None},
        {"prompt": ["a"]},
        {"temperature": "hot"},
        {"temperature": [1]},
        {"temperature": float("nan")},
        {"temperature": float("inf")},
        {"max_new_tokens": 0},
        {"max_new_tokens": -5},
        {"max_new_tokens": 1e300},
        {"top_k": 1e300},
        {"stop": 3},
        {"stop": [3]},
        {"stop": {}},
        {"stop": ["x"] * 65},
        {"stop_token_ids": "2"},
        {"stop_token_ids": [None]},
    ],
)
def test_what_cannot_be_is_told(field):
    with pytest.raises(Refusal) as caught:
        asked_prompt({"prompt": "hi", **field}, CONTROLS)
    assert caught.value.note == f"{next(iter(field))}: refused"  # the log has no value
    assert caught.value.message.startswith(f"{next(iter(field))} ")
