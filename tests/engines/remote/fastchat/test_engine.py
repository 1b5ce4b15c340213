"""The engine for FastChat, against the recorded answers of a cluster."""

from __future__ import annotations

import threading
import time

import httpx
import pytest

from glmcli.config import Settings
from glmcli.engines.remote.fastchat.engine import list_models, new_tokens
from glmcli.engines.remote.http import COUNT_S
from glmcli.errors import ConfigError, ConnectionLost, ContextFull, EngineError, ModelError
from glmcli.types import GenerationParams, Message
from tests.support.fake_fastchat import (
    HELLO,
    NEVER,
    PLAIN,
    WORKER,
    answer,
    cluster,
    opened,
    reply,
    unreachable,
)
from tests.support.transcripts import joined

GENERATE = "/worker_generate_stream"


def test_a_model_is_found_through_its_controller():
    engine = opened(cluster())
    assert engine.name == "smollm2"
    assert engine.context_tokens == 8192
    assert engine.device == f"FastChat worker at {WORKER}"
    text, _, last = reply(engine)
    assert text == "The capital of France is Paris."
    assert (last.finish_reason, last.usage.prompt_tokens) == ("stop", 37)


def test_it_can_be_told_how_a_cluster_was_asked():
    assert opened(cluster()).details == (
        "asked /list_models, /get_worker_address, /model_details, /worker_get_conv_template"
    )


def test_a_request_holds_the_rendered_prompt_and_no_null():
    answers = cluster()
    reply(opened(answers), messages=(Message("system", "Be brief."), *HELLO))
    assert answers.body(GENERATE) == {
        "model": "smollm2",
        "prompt": "<|im_start|>system\nBe brief.<|im_end|>\n"
        "<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\n",
        "echo": False,
        "max_new_tokens": 8192 - 8 - 1,
        "stop": ["<|im_end|>"],
    }


def test_settings_are_sent_as_numbers_that_no_worker_breaks_on():
    answers = cluster()
    params = GenerationParams(
        max_tokens=7, temperature=0.0, top_p=0.5, top_k=0, repetition_penalty=1.1, stop=("END",)
    )
    reply(opened(answers), params)
    sent = answers.body(GENERATE)
    assert sent["max_new_tokens"] == 7
    assert sent["temperature"] == 0.0
    assert sent["top_p"] == 0.5
    assert sent["repetition_penalty"] == 1.1
    assert sent["stop"] == ["<|im_end|>", "END"]
    assert "top_k" not in sent
    assert None not in sent.values()


def test_the_controller_is_asked_once_for_each_reply_and_the_worker_once_for_its_template():
    answers = cluster()
    engine = opened(answers)
    for _ in range(3):
        reply(engine)
    assert len(answers.asked("/get_worker_address")) == 3
    assert len(answers.asked("/worker_get_conv_template")) == 1
    assert len(answers.asked("/list_models")) == 1
    assert not answers.asked("/refresh_all_workers")


def test_a_prompt_that_does_not_fit_is_never_sent():
    answers = cluster(model_details=answer(context_length=9))
    engine = opened(answers)
    with pytest.raises(ContextFull) as caught:
        reply(engine)
    assert (caught.value.needed, caught.value.limit) == (10, 9)
    assert not answers.asked(GENERATE)


@pytest.mark.parametrize(
    ("window", "size", "wanted", "asked"),
    [
        (100, 8, None, 91),
        (100, 8, 5, 5),
        (100, 8, 500, 91),
        (10, 8, None, 1),
        (None, None, None, 1024),
        (None, None, 5, 5),
        (2000, None, None, 1998),
        (100, None, 70, 70),
    ],
)
def test_no_more_is_asked_for_than_fits(window, size, wanted, asked):
    assert new_tokens(window, "abc", size, wanted) == asked


def test_a_prompt_far_beyond_the_window_is_not_sent_to_a_worker_that_does_not_count():
    with pytest.raises(ContextFull, match="needs 1,050 tokens at least"):
        new_tokens(600, "The river is long and calm. " * 300, None, None)


def test_an_estimate_refuses_nothing():
    assert new_tokens(100, "x" * 1000, None, None) == 50


def test_a_window_that_is_set_beyond_that_of_the_worker_is_told_once():
    engine = opened(cluster(), window=1_000_000)
    said = [chunk.notice for _ in range(2) for chunk in engine.stream(HELLO, PLAIN, NEVER)]
    (told,) = filter(None, said)
    assert "but --window 1,000,000 counts: what is beyond may be" in told


def test_a_prompt_is_counted_by_the_worker():
    answers = cluster()
    assert opened(answers).count(HELLO) == 8
    assert answers.body("/count_token")["prompt"].endswith("<|im_start|>assistant\n")


def test_a_worker_that_cannot_count_says_nothing_rather_than_zero():
    engine = opened(cluster(count_token=answer(count=0, error_code=0)))
    assert engine.count(HELLO) is None
    assert reply(engine)[0] == "The capital of France is Paris."


def test_a_worker_can_be_named_in_place_of_a_controller():
    answers = cluster(worker_get_status="fs_worker_get_status")
    for path in ("list_models", "get_worker_address", "refresh_all_workers"):
        del answers.answers[path]
    assert reply(opened(answers))[0] == "The capital of France is Paris."
    assert not answers.asked("/get_worker_address")
    settings = Settings(base_url="http://worker.test")
    assert list_models(settings, transport=answers) == [("smollm2", None), ("smollm2-alias", None)]


def test_models_are_listed_in_order():
    settings = Settings(base_url="http://controller.test")
    listed = list_models(settings, transport=cluster())
    assert listed == [("smollm2", None), ("smollm2-alias", None)]


def test_the_only_model_is_taken_and_several_are_listed():
    assert opened(cluster(list_models=answer(models=["one"])), "").name == "one"
    with pytest.raises(ModelError) as caught:
        opened(cluster(), "")
    assert "smollm2, smollm2-alias" in caught.value.hint


def test_a_worker_that_takes_long_to_count_is_not_waited_for_after_ctrl_c():
    cancel, release = threading.Event(), threading.Event()

    def frozen(request):
        cancel.set()
        release.wait(10)
        return answer(count=8, error_code=0)

    engine = opened(cluster(count_token=frozen))
    started = time.monotonic()
    assert engine.count(HELLO, cancel) is None
    assert time.monotonic() - started < COUNT_S / 2
    release.set()
    assert engine.count(HELLO) == 8


def test_a_missing_model_is_looked_for_again_once():
    lists = [answer(models=["other"]), answer(models=["other", "smollm2"])]
    answers = cluster(list_models=lambda request: lists.pop(0))
    assert opened(answers).name == "smollm2"
    assert len(answers.asked("/refresh_all_workers")) == 1
    with pytest.raises(ModelError) as caught:
        opened(cluster(), "nope")
    assert "smollm2" in caught.value.hint
    with pytest.raises(ModelError, match="lists no models"):
        opened(cluster(list_models="fs_controller_list_models_after_death"), "")


def test_a_worker_that_cannot_be_reached_is_reached_through_its_controller():
    answers = cluster("fs_controller_proxy_stream")
    engine = opened(unreachable(answers, {WORKER}), template="chatml")
    assert reply(engine)[0] == "The capital of France is Paris."
    assert engine.count(HELLO) is None
    assert engine.context_tokens is None
    sent = answers.asked(GENERATE)[0]
    assert sent.url.host == "controller.test"
    assert answers.body(GENERATE)["max_new_tokens"] == 1024
    reply(engine)
    assert len(answers.asked("/refresh_all_workers")) == 1


def test_without_a_template_a_worker_behind_its_controller_is_refused_with_a_way_out():
    with pytest.raises(EngineError) as caught:
        opened(unreachable(cluster(), {WORKER}))
    assert "--template" in caught.value.hint
    assert "--base-url" in caught.value.hint


@pytest.mark.parametrize(
    "fault", [httpx.ConnectError("refused"), httpx.ReadError("reset"), httpx.ReadTimeout("frozen")]
)
def test_a_worker_that_died_is_replaced_by_another(fault):
    def address(request: httpx.Request) -> httpx.Response:
        is_fresh = bool(answers.asked("/refresh_all_workers"))
        return answer(address="http://two.test" if is_fresh else "http://one.test")

    answers = cluster(get_worker_address=address)
    dead: set[str] = set()
    engine = opened(unreachable(answers, dead, fault))
    reply(engine)
    dead.add("one.test")
    assert reply(engine)[0] == "The capital of France is Paris."
    assert [request.url.host for request in answers.asked(GENERATE)] == ["one.test", "two.test"]
    assert engine.device == "FastChat worker at two.test"


def test_a_frozen_worker_is_to_blame_though_its_controller_waits_for_it_too():
    answers = cluster()
    frozen: set[str] = set()
    engine = opened(unreachable(answers, frozen, httpx.ReadTimeout("frozen")))

    def refresh(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadTimeout("busy asking its workers")

    answers.answers["refresh_all_workers"] = refresh
    frozen.add(WORKER)
    with pytest.raises(ConnectionLost, match=WORKER):
        reply(engine)


def test_a_worker_that_the_controller_forgot_is_looked_for_anew_once():
    known = [
        answer(address="http://one.test"),
        answer(address=""),
        answer(address="http://one.test"),
    ]
    answers = cluster(get_worker_address=lambda request: known.pop(0))
    engine = opened(answers)
    reply(engine)
    assert reply(engine)[0] == "The capital of France is Paris."
    assert len(answers.asked("/refresh_all_workers")) == 1
    answers = cluster(get_worker_address=lambda request: answer(address=""))
    with pytest.raises(EngineError, match="no worker"):
        opened(answers)
    assert len(answers.asked("/refresh_all_workers")) == 1


def test_an_address_that_is_none_is_passed_on_by_the_controller():
    answers = cluster(
        "fs_controller_proxy_stream", get_worker_address=answer(address="localhost:21002")
    )
    engine = opened(answers, template="chatml")
    assert reply(engine)[0] == "The capital of France is Paris."
    assert {request.url.host for request in answers.requests} == {"controller.test"}


def test_a_worker_that_is_gone_for_good_is_an_error_that_says_so():
    known = [answer(address="http://one.test"), answer(address="")]
    answers = cluster(get_worker_address=lambda request: known.pop(0))
    with pytest.raises(EngineError, match=r"no worker of controller\.test:21001 serves smollm2"):
        opened(unreachable(answers, {"one.test"}))


def test_the_template_of_the_user_goes_before_the_workers():
    answers = cluster()
    engine = opened(answers, template="vicuna_v1.1")
    reply(engine)
    assert answers.body(GENERATE)["prompt"] == " USER: What is the capital of France? ASSISTANT:"
    with pytest.raises(ConfigError, match="no template 'nope'"):
        opened(cluster(), template="nope")


def test_the_key_goes_to_the_controller_and_nowhere_else():
    answers = cluster()
    reply(opened(answers, api_key="sesame"))
    hosts = {request.url.host for request in answers.requests if "Authorization" in request.headers}
    assert hosts == {"controller.test"}


def test_a_chatglm_worker_that_hides_the_limit_is_seen_through():
    answers = cluster("fs_fault_chatglm")
    engine = opened(answers, template="chatglm3")
    assert reply(engine, GenerationParams(max_tokens=9))[2].finish_reason == "length"
    assert reply(engine, GenerationParams(max_tokens=10))[2].finish_reason == "stop"
    assert answers.body(GENERATE)["prompt"] == (
        "<|user|>\nWhat is the capital of France?<|assistant|>"
    )


@pytest.mark.parametrize(
    ("transcript", "error", "said"),
    [
        ("fs_fault_oom", EngineError, "CUDA out of memory"),
        ("fs_fault_rt", EngineError, "device-side assert"),
        ("fs_fault_key", ConnectionLost, "before the reply was complete"),
        ("fs_err_no_prompt", ConnectionLost, "before the reply was complete"),
        ("fs_err_not_json", EngineError, "refused (500): Internal Server Error"),
        ("fs_worker_404", EngineError, "refused (404): Not Found"),
        ("fs_worker_killed_midstream", ConnectionLost, "before the reply was complete"),
        ("fs_vllmworker_partial", ConnectionLost, "before the reply was complete"),
    ],
)
def test_every_fault_of_a_real_worker_is_one_line_and_a_hint(transcript, error, said):
    with pytest.raises(error) as caught:
        reply(opened(cluster(transcript)))
    assert said in caught.value.message
    assert caught.value.hint
    assert "\n" not in caught.value.message + caught.value.hint


def test_a_cancelled_question_is_cancelled_before_a_word_is_sent():
    answers = cluster()
    engine = opened(answers)
    cancel = threading.Event()
    cancel.set()
    assert joined(engine.stream(HELLO, PLAIN, cancel))[2].finish_reason == "cancelled"
    assert not answers.asked(GENERATE)
