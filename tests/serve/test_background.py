import os

import pytest

from glmcli.engines.echo import EchoEngine
from glmcli.errors import ModelError
from glmcli.serve.background import opening_with


def test_a_secret_is_there_until_the_model_is_loaded_and_forgotten_then(monkeypatch):
    monkeypatch.delenv("HF_TOKEN", raising=False)
    seen = []

    def open_it(report):
        seen.append(os.environ.get("HF_TOKEN"))
        if len(seen) == 1:
            raise ModelError("the hub does not answer")
        return EchoEngine()

    secrets = {"HF_TOKEN": "hf_1"}
    opened = opening_with(secrets, open_it)
    with pytest.raises(ModelError):
        opened(lambda progress: None)
    assert "HF_TOKEN" not in os.environ
    opened(lambda progress: None)
    assert seen == ["hf_1", "hf_1"]
    assert "HF_TOKEN" not in os.environ and secrets == {}
