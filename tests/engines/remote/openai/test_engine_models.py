"""Which models an OpenAI-compatible server has, and where it is."""

from __future__ import annotations

import httpx
import pytest

from glmcli.config import Settings
from glmcli.engines.remote.faults import Refused
from glmcli.engines.remote.openai.engine import list_models
from glmcli.errors import EngineError, ModelError
from tests.support.fake_openai import CHAT, HELLO, NEVER, PLAIN, opened, reply, serving
from tests.support.transcripts import FakeServer


@pytest.mark.parametrize(
    ("models", "window", "device"),
    [
        ("vllm_models", 2048, "vLLM at server.test"),
        ("llama_models", 1024, "llama.cpp at server.test"),
    ],
)
def test_the_only_model_is_taken_with_its_window(models, window, device):
    engine = opened(serving(models))
    assert (engine.name, engine.context_tokens, engine.device) == ("smollm2", window, device)


def test_a_window_that_is_set_wins_over_that_of_the_server():
    assert opened(serving("vllm_models"), window=512).context_tokens == 512
    assert opened(serving("tf_models"), "models/x", window=512).context_tokens == 512


@pytest.mark.parametrize(("window", "says"), [(700, 0), (701, 1)])
def test_a_window_that_is_set_beyond_that_of_the_server_is_told_once(window, says):
    models = httpx.Response(200, json={"data": [{"id": "m", "max_model_len": 700}]})
    engine = opened(serving(models, "llama_chat_stream"), window=window)
    said = [chunk.notice for _ in range(2) for chunk in engine.stream(HELLO, PLAIN, NEVER)]
    notice = "the model's window is 700 tokens, but --window 701 counts: what is beyond may be"
    assert [text[: len(notice)] for text in said if text] == [notice] * says


def test_it_can_be_told_how_a_server_was_recognised():
    engine = opened(serving(tokenize="vllm_tokenize_chat"))
    assert engine.details == "asked /v1/models"
    engine.count(HELLO)
    assert engine.details == "asked /v1/models, /tokenize"
    models = httpx.Response(200, json={"data": [{"id": "m", "owned_by": "llamacpp"}]})
    assert opened(serving(models)).details == "asked /v1/models, /props (404)"


def test_several_models_are_listed_to_choose_from():
    with pytest.raises(ModelError) as caught:
        opened(serving("fsoai_models"))
    assert "smollm2, smollm2-alias" in caught.value.hint
    assert opened(serving("fsoai_models"), "smollm2-alias").name == "smollm2-alias"


def test_a_name_that_a_server_cannot_have_is_refused_before_a_question_is_asked():
    for models in ("vllm_models", "fsoai_models"):
        with pytest.raises(ModelError, match="has no model 'nope'") as caught:
            opened(serving(models), "nope")
        assert "smollm2" in caught.value.hint
    assert opened(serving("llama_models"), "nope").name == "nope"


def test_a_name_that_is_not_listed_is_told_once_where_it_may_be_served_all_the_same():
    engine = opened(serving("llama_models", "llama_chat_stream"), "nope")
    said = [chunk.notice for _ in range(2) for chunk in engine.stream(HELLO, PLAIN, NEVER)]
    notice = "server.test does not list 'nope': another model may answer for it"
    assert [text for text in said if text] == [notice]


def test_a_server_that_lists_nothing_needs_a_name():
    with pytest.raises(ModelError, match="lists no models"):
        opened(serving("tf_models"))
    assert opened(serving("tf_models"), "models/x").name == "models/x"


def test_a_server_without_a_list_still_answers_for_a_name():
    engine = opened(FakeServer(v1_chat_completions="tf_chat_stream"), "models/x")
    assert reply(engine)[0] == "The capital of France is Paris."
    with pytest.raises(Refused):
        opened(FakeServer())


@pytest.mark.parametrize("transcript", ["vllm_auth_models_missing", "fsoai_auth_missing"])
def test_a_missing_key_is_asked_for(transcript):
    with pytest.raises(Refused) as caught:
        opened(serving(transcript), "smollm2")
    assert "GLM_API_KEY" in caught.value.hint


def test_llama_cpp_of_old_tells_its_window_elsewhere():
    models = httpx.Response(200, json={"data": [{"id": "m", "owned_by": "llamacpp"}]})
    assert opened(serving(models, props="llama_props")).context_tokens == 1024
    assert opened(serving(models)).context_tokens is None


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("http://server.test", "/v1/models"),
        ("http://server.test/", "/v1/models"),
        ("http://server.test/v1/", "/v1/models"),
        ("http://server.test/v1/chat/completions", "/v1/models"),
        ("http://server.test/openai/v1", "/openai/v1/models"),
        ("http://server.test/api/paas/v4", "/api/paas/v4/models"),
        ("http://server.test/v1/completions", "/v1/models"),
        ("http://server.test/api", "/api/models"),
        ("http://server.test/api/chat/completions", "/api/models"),
        ("http://server.test/api/chat", "/v1/models"),
        ("http://server.test/ollama/api/generate/", "/ollama/v1/models"),
        ("http://server.test/api/tags", "/v1/models"),
    ],
)
def test_an_address_is_taken_as_people_write_it(url, path):
    answers = FakeServer()
    opened(answers, "m", url)
    assert answers.requests[0].url.path == path


def test_models_are_listed_with_their_windows():
    settings = Settings(base_url="http://server.test")
    assert list_models(settings, transport=serving()) == [("smollm2", 2048)]
    assert list_models(settings, transport=serving("fsoai_models")) == [
        ("smollm2", None),
        ("smollm2-alias", None),
    ]


@pytest.mark.parametrize("name", ["\x1b[2Jm", "a\nb", "a\u202eb", " ", "m" * 1001])
def test_a_name_that_nobody_can_read_and_type_is_left_out(name):
    listed = httpx.Response(200, json={"data": [{"id": name}, {"id": "my model"}]})
    assert opened(serving(listed), "").name == "my model"


@pytest.mark.parametrize(
    "data", [{}, {"data": None}, {"data": [None, 1, {}, {"id": 5}, {"id": ""}]}]
)
def test_a_list_without_models_is_empty(data):
    with pytest.raises(ModelError, match="lists no models"):
        opened(serving(httpx.Response(200, json=data)))


@pytest.mark.parametrize("data", [[], "x", 1])
def test_what_is_no_list_is_an_error(data):
    with pytest.raises(EngineError, match="unreadable message"):
        opened(serving(httpx.Response(200, json=data)))


@pytest.mark.parametrize(
    "end", ["", "/", "/v1", "/v1/", "/v1/chat/completions", "/v1/models", "/api/chat"]
)
def test_the_query_of_an_address_stays_behind_every_path(end):
    answers = serving()
    reply(opened(answers, url=f"http://server.test{end}?api-version=1"))
    assert {str(each.url) for each in answers.requests} >= {
        "http://server.test/v1/models?api-version=1",
        f"http://server.test{CHAT}?api-version=1",
    }
