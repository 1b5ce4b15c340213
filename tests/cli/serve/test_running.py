import threading
from contextlib import suppress

import pytest

from glmcli.cli.serve import running
from glmcli.engines.echo import EchoEngine
from glmcli.errors import EngineError
from tests.support.serving import served, soon


def test_replies_that_take_too_long_at_the_end_are_cut_and_told(monkeypatch, capsys) -> None:
    monkeypatch.setattr(running, "DRAIN_S", 0.2)
    with served(lambda report: EchoEngine(delay_s=0.2)) as server:

        def ask() -> None:
            with suppress(OSError):
                server.chat("word " * 20)

        client = threading.Thread(target=ask)
        client.start()
        assert soon(lambda: server.holder.busy == 1)
        with pytest.raises(EngineError, match="1 reply was cut off") as caught:
            running.drain(server.doors, server.holder, [])
        assert caught.value.exit_code == 6
        assert "glm stop has ended it" in capsys.readouterr().err
        client.join(20)
