"""/model moves a running conversation: to another engine, another server, and back."""

from __future__ import annotations

import json
import threading
import time
from contextlib import ExitStack
from dataclasses import replace

import pytest

from glmcli.chat.commands import run_command
from glmcli.chat.commands.model import chosen
from glmcli.config import Settings
from glmcli.config.servers import server_options
from glmcli.engines.remote.address import key_for, parse_address
from glmcli.errors import EngineError, GlmError, ModelError, UsageError
from tests.support import tiny
from tests.support.chats import texts
from tests.support.loopback import OK, Connection, Loopback, closed_port
from tests.support.tiny_chat import TOKENIZER


@pytest.fixture
def serve():
    """Start a server that lists `models`, counts `size` tokens and says "hello"."""
    with ExitStack() as stack:

        def start(models=("m",), *, size=1234, window=32768, owner="vllm"):
            def script(connection: Connection) -> None:
                path = connection.requests[-1].split(b" ")[1]
                if path == b"/v1/chat/completions":
                    connection.send(OK)
                    for delta, reason in (({"content": "hello"}, None), ({}, "stop")):
                        event = {"choices": [{"delta": delta, "finish_reason": reason}]}
                        event["usage"] = {"prompt_tokens": 50, "completion_tokens": 5}
                        connection.chunk(b"data: " + json.dumps(event).encode() + b"\n\n")
                    connection.chunk(b"")
                    return
                listed = [
                    {"id": name, "owned_by": owner, "max_model_len": window} for name in models
                ]
                body = json.dumps({"count": size} if path == b"/tokenize" else {"data": listed})
                head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: "
                connection.send(f"{head}{len(body)}\r\n\r\n{body}".encode())

            return stack.enter_context(Loopback(script)).url

        yield start


def test_a_conversation_moves_to_a_server_and_is_counted_there(chat, serve):
    chat.ask("one two three")
    said = run_command(chat, f"/model openai:m {serve()}")
    assert said == "now openai:m; this conversation is 1,234 of 32,768 tokens there"
    assert chat.session.used_tokens == 1234
    chat.ask("more")
    assert [message.text for message in chat.session.conversation.messages][-1] == "hello"
    assert chat.session.used_tokens == 55


def test_it_moves_on_to_a_second_server_and_back(chat, serve):
    chat.ask("one two three")
    first, second = serve(), serve(size=20, window=100)
    run_command(chat, f"/model openai:m {first}")
    said = run_command(chat, f"/model openai:m {second}")
    assert said == "now openai:m; this conversation is 20 of 100 tokens there"
    assert chat.settings.base_url == second
    assert run_command(chat, "/model echo:").endswith(
        "this conversation is 6 of 8,192 tokens there"
    )
    assert chat.session.used_tokens == 6


def test_the_only_model_of_a_server_is_taken_and_kept_by_its_name(chat, serve):
    url = serve()
    assert run_command(chat, f"/model openai: {url}") == "now openai:m"
    assert (chat.settings.model, chat.session.model) == ("openai:m", f"openai:m {url}")
    assert run_command(chat, "/model") == f"openai:m · vLLM at {url.removeprefix('http://')}"


def test_of_several_models_one_is_to_be_chosen_and_the_conversation_stays(chat, serve):
    with pytest.raises(ModelError, match="several models") as caught:
        run_command(chat, f"/model openai: {serve(('a', 'b'))}")
    assert "a, b" in caught.value.hint
    assert caught.value.hint.endswith("the conversation stays with echo:")


@pytest.mark.parametrize(
    ("context", "said"),
    [
        ("stop", "the next question will be refused"),
        ("drop-oldest", "the oldest turns will not be sent"),
        ("summarise", "a summary of the oldest turns will be sent"),
    ],
)
def test_what_becomes_of_a_conversation_that_does_not_fit_is_said(chat, serve, context, said):
    chat.ask("one two three")
    chat.session.leave_out(context)
    line = run_command(chat, f"/model openai:m {serve(size=5000, window=4096)}")
    assert line.startswith(
        "now openai:m; this conversation is 5,000 of 4,096 tokens there: too long"
    )
    assert said in line
    assert "\n" not in line


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"owner": "somebody"}, "with a window of 32,768 tokens; its next reply will say how full"),
        ({"window": None}, "this conversation is 1,234 tokens there"),
        ({"owner": "somebody", "window": None}, "how much of its window this conversation takes"),
    ],
)
def test_no_more_is_said_than_the_server_knows(chat, serve, facts, said):
    chat.ask("one two three")
    line = run_command(chat, f"/model openai:m {serve(**facts)}")
    assert line.startswith("now openai:m")
    assert said in line
    assert "None" not in line


def test_a_server_that_is_not_there_changes_nothing(chat):
    chat.ask("one")
    engine = chat.session.engine
    with pytest.raises(EngineError, match="nothing listens") as caught:
        run_command(chat, f"/model openai:m http://127.0.0.1:{closed_port()}")
    assert caught.value.hint == (
        "start the server, or give its address with /model openai: URL; "
        "the conversation stays with echo:"
    )
    assert chat.session.engine is engine
    assert (chat.session.model, chat.settings.base_url) == ("echo:", "")
    chat.ask("two")
    assert chat.session.conversation.messages[-1].text == "two"


@pytest.mark.parametrize(
    ("typed", "line"),
    [
        ("gpt-4o", "a server's is /model openai:gpt-4o https://api.openai.com/v1"),
        ("openai:x api.lab.test", "did you mean /model openai:x https://api.lab.test?"),
        ("openai: localhost:8000", "did you mean /model openai: http://localhost:8000?"),
    ],
)
def test_a_model_of_a_server_is_told_with_its_address(chat, typed, line):
    with pytest.raises((ModelError, UsageError)) as caught:
        run_command(chat, f"/model {typed}")
    assert caught.value.hint.startswith(line)
    assert chat.settings.model == "echo:"


def test_a_model_here_that_cannot_be_loaded_gives_way_to_the_old_one(chat):
    chat.settings = Settings(model="./old-one")
    with pytest.raises(ModelError, match="nothing-here") as caught:
        run_command(chat, "/model ./nothing-here")
    assert "stays with ./old-one" in caught.value.hint
    assert chat.session.engine.name == "./old-one"
    assert chat.settings.model == "./old-one"


def test_a_folder_is_stored_by_its_whole_path(chat, tmp_path, monkeypatch):
    net = tiny.llama(len(TOKENIZER), max_position_embeddings=300)
    net.save_pretrained(tmp_path / "net")
    TOKENIZER.save_pretrained(tmp_path / "net")
    monkeypatch.chdir(tmp_path)
    run_command(chat, "/model ./net")
    assert chat.session.model == str(tmp_path / "net")


def test_ctrl_c_ends_the_wait_for_a_server_and_changes_nothing(chat):
    engine = chat.session.engine
    with Loopback(lambda connection: connection.freeze()) as frozen:

        def press() -> None:
            assert frozen.asked.wait(5)
            chat.session.stop()

        threading.Thread(target=press).start()
        started = time.monotonic()
        assert run_command(chat, f"/model openai:m {frozen.url}") == (
            "the conversation stays with echo:"
        )
        assert time.monotonic() - started < 2
    assert chat.session.engine is engine


def test_a_model_that_takes_its_time_is_loaded_while_you_type(chat, monkeypatch):
    monkeypatch.setattr("glmcli.chat.commands.model.SERVER_S", 0.1)
    said = run_command(chat, "/model echo:load=1")
    assert said == "echo:load=1 is being loaded; the conversation goes on with it"
    chat.ask("two")
    assert chat.session.conversation.messages[-1].text == "two"


def test_an_address_alone_is_refused_with_a_hint(chat):
    with pytest.raises(UsageError) as caught:
        run_command(chat, "/model http://127.0.0.1:8000")
    assert caught.value.hint == "/model openai: http://127.0.0.1:8000"


def test_the_line_is_in_chinese_where_the_locale_is(chat, serve, monkeypatch):
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    chat.ask("one two three")
    said = run_command(chat, f"/model openai:m {serve(size=5000, window=4096)}")
    assert "窗口中占 5,000 个" in said
    assert "过长" in said


def test_model_goes_on_with_another_engine(chat):
    chat.ask("one")
    run_command(chat, "/model echo:window=100")
    chat.ask("two")
    assert texts(chat) == ["one", "one", "two", "two"]
    assert chat.session.engine.context_tokens == 100
    assert "echo:window=100" in run_command(chat, "/model")


def test_a_key_goes_to_no_other_server_that_a_command_names(chat, serve):
    url = serve()
    chat.settings = replace(chat.settings, base_url="http://given.example", api_key="secret-key")
    chat = type(chat)(chat.session, chat.settings)
    told, now = run_command(chat, f"/model openai:m {url}").split("\n")
    assert told == (
        f"GLM_API_KEY was not given for {url}, so it is not sent there; "
        "[keys] of config.toml holds a key for each server"
    )
    assert now.startswith("now openai:m")
    assert (chat.session.model, chat.settings.api_key) == (f"openai:m {url}", "")


def test_the_key_is_not_sent_to_a_server_that_is_not_there(chat):
    chat = type(chat)(chat.session, replace(chat.settings, api_key="secret-key"))
    with pytest.raises(GlmError) as caught:
        run_command(chat, f"/model openai:m http://127.0.0.1:{closed_port()}")
    assert "so it is not sent there" in caught.value.hint


@pytest.mark.parametrize("agrees", [True, False])
@pytest.mark.parametrize("typed", [True, False], ids=["typed", "named by the folder"])
def test_the_key_goes_to_an_address_of_a_folder_only_where_the_user_agrees(
    chat, serve, agrees, typed
):
    url = serve()
    sources = {"base_url": ".env", "api_key": "environment"}
    given = replace(chat.settings, base_url=url, api_key="secret-key", sources=sources)
    chat, asked = type(chat)(chat.session, given), []
    chat.confirm = lambda question: [agrees, asked.append(question)][0]
    run_command(chat, f"/model openai:m {url}" if typed else "/model openai:m")
    assert len(asked) == 1
    assert chat.settings.api_key == ("secret-key" if agrees else "")
    assert chat.settings.sources["base_url"] == ("option" if typed or agrees else ".env")


@pytest.mark.parametrize("agrees", [True, False])
def test_a_key_goes_along_only_where_the_user_agrees_and_is_asked_once(chat, serve, agrees):
    url = serve()
    chat = type(chat)(
        chat.session, replace(chat.settings, base_url="http://given.example", api_key="secret-key")
    )
    asked = []
    chat.confirm = lambda question: [agrees, asked.append(question)][0]
    run_command(chat, f"/model openai:m {url}")
    assert chat.settings.api_key == ("secret-key" if agrees else "")
    assert asked == [f"GLM_API_KEY was not given for {url}: send it there?"]
    run_command(chat, "/model echo:")
    run_command(chat, f"/model openai:m {url}/")
    assert len(asked) == (1 if agrees else 2)


def test_no_question_for_the_server_of_the_key_nor_for_one_that_has_its_own(chat, serve):
    url = serve()
    host = url.removeprefix("http://").partition("/")[0]
    for more in ({"base_url": url}, {"keys": {host: "its-own"}}):
        one = type(chat)(chat.session, replace(chat.settings, api_key="secret-key", **more))
        one.confirm = lambda question: pytest.fail(question)
        run_command(one, f"/model openai:m {url}")
        assert one.settings.api_key == ("" if "keys" in more else "secret-key")
        run_command(one, "/model echo:")
        assert one.settings.api_key == "secret-key"


def test_a_key_that_was_given_for_another_server_goes_to_this_one_only_if_the_user_agrees(
    chat, serve
):
    url = serve()
    given = {"base_url": url, "api_key": "secret-key", "key_url": "http://given.example"}
    asked = []
    for agrees in (False, True):
        one = type(chat)(chat.session, replace(chat.settings, **given))
        one.confirm = lambda question, agrees=agrees: [agrees, asked.append(question)][0]
        run_command(one, f"/model openai:m {url}")
        sent = key_for(server_options(one.settings), parse_address(url)).text
        assert sent == ("secret-key" if agrees else "")
        run_command(one, "/model echo:")
    assert asked == 2 * [f"GLM_API_KEY was not given for {url}: send it there?"]


def test_a_model_that_is_typed_after_a_setting_named_the_same_is_a_typed_one(chat):
    settings = replace(chat.settings, model="org/name", sources={"model": "config.toml"})
    assert settings.model_options.untyped_model == "org/name"
    assert chosen(settings, "org/name").model_options.untyped_model == ""
    assert chosen(settings, "org/name http://lab.test").model_options.untyped_model == ""


def test_an_adapter_stays_with_its_model():
    settings = Settings(model="./net", adapter="./pirate")
    assert chosen(settings, "./net").adapter == "./pirate"
    assert chosen(settings, "./other").adapter == ""
    assert chosen(settings, "openai:m http://server.test/v1").adapter == ""


def test_a_name_that_is_a_folder_here_is_taken_as_one_and_that_is_said(chat, tmp_path, monkeypatch):
    tiny.llama(len(TOKENIZER), max_position_embeddings=300).save_pretrained(tmp_path / "far")
    TOKENIZER.save_pretrained(tmp_path / "far")
    (tmp_path / "org").mkdir()
    (tmp_path / "org" / "net").symlink_to(tmp_path / "far")
    monkeypatch.chdir(tmp_path)
    said = run_command(chat, "/model org/net").splitlines()[0]
    assert said == (
        f"org/net is taken as the folder here, a link to {tmp_path}/far, "
        "not as the model of that name"
    )
