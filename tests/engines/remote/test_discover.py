from __future__ import annotations

import pytest

from glmcli.config import Settings
from glmcli.engines.remote.discover import list_models
from glmcli.engines.remote.faults import Refused
from tests.support.transcripts import FakeServer

SETTINGS = Settings(base_url="http://server.test:21001")


def test_an_openai_server_is_recognised():
    answers = FakeServer(v1_models="vllm_models")
    assert list_models(SETTINGS, transport=answers) == [("openai:smollm2", 2048)]


def test_a_fastchat_controller_is_recognised():
    answers = FakeServer(list_models="fs_controller_list_models")
    assert list_models(SETTINGS, transport=answers) == [
        ("fastchat:smollm2", None),
        ("fastchat:smollm2-alias", None),
    ]


def test_a_fastchat_worker_is_recognised():
    answers = FakeServer(worker_get_status="fs_worker_get_status")
    assert [name for name, _ in list_models(SETTINGS, transport=answers)] == [
        "fastchat:smollm2",
        "fastchat:smollm2-alias",
    ]


def test_a_server_of_another_kind_is_refused_with_a_hint():
    with pytest.raises(Refused) as caught:
        list_models(SETTINGS, transport=FakeServer())
    assert "--base-url" in caught.value.hint


def test_a_missing_key_is_not_taken_for_another_kind_of_server():
    answers = FakeServer(
        v1_models="vllm_auth_models_missing", list_models="fs_controller_list_models"
    )
    with pytest.raises(Refused) as caught:
        list_models(SETTINGS, transport=answers)
    assert caught.value.status == 401
