"""What /set shows and changes."""

from __future__ import annotations

import re

import pytest

from glmcli.chat.commands import run_command
from glmcli.chat.commands.lines import SET_HERE, WITH_NO
from glmcli.cli.options import FLAGS
from glmcli.config import setting_fields
from glmcli.engines.echo import EchoEngine
from glmcli.errors import UsageError
from glmcli.models.defaults import Defaults
from glmcli.types import GenerationParams


def test_set_shows_and_changes(chat):
    run_command(chat, "/set temperature 0.2")
    run_command(chat, "/set top-p=0.5")
    assert (chat.session.params.temperature, chat.session.params.top_p) == (0.2, 0.5)
    assert "0.2" in run_command(chat, "/set")
    run_command(chat, "/set temperature default")
    assert chat.session.params.temperature is None


@pytest.mark.parametrize(
    "line", ["/set temperature abc", "/set temperature =", "/set nonsense 1", "/set top_p 7"]
)
def test_set_refuses_what_makes_no_sense(chat, line):
    with pytest.raises(UsageError) as caught:
        run_command(chat, line)
    assert caught.value.hint


def test_what_becomes_of_a_full_window_is_a_setting(chat):
    assert run_command(chat, "/set context summarise") == "context is summarise"
    assert chat.session.context == "summarise"
    assert run_command(chat, "/set context default") == "context is drop-oldest"
    assert "drop-oldest" in run_command(chat, "/set")
    with pytest.raises(UsageError, match="half"):
        run_command(chat, "/set context half")


def test_display_settings(chat):
    run_command(chat, "/set markdown off")
    assert chat.settings.plain == "on"
    assert run_command(chat, "/thinking hide") == "thinking is hide"
    assert chat.settings.thinking == "hide"
    run_command(chat, "/think off")
    assert chat.session.params.think is False
    run_command(chat, "/think default")
    assert chat.session.params.think is None
    with pytest.raises(UsageError):
        run_command(chat, "/thinking loud")


def test_display_settings_can_be_given_back(chat):
    for name, value, default in [
        ("notify", "5", "default"),
        ("thinking", "show", "fold"),
        ("markdown", "off", "on"),
        ("stats", "off", "on"),
    ]:
        run_command(chat, f"/set {name} {value}")
        assert run_command(chat, f"/set {name} default").startswith(f"{name} is {default}"[:9])
    run_command(chat, "/set notify 5")
    for off in ("off", "default"):
        assert run_command(chat, f"/set notify {off}") == "notify is off"
        assert chat.settings.notify is None


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("/set system be brief", "did you mean /system be brief?"),
        ("/set model echo:", "did you mean /model echo:?"),
        ("/set parameter temperature 0.2", "did you mean /set temperature 0.2?"),
        ("/set temp=.2", "did you mean /set temperature .2?"),
        ("/set num_predict 50", "did you mean /set max_tokens 50?"),
        ("/set max tokens 100", "did you mean /set max_tokens 100?"),
        ("/set temperatur 1", "did you mean /set temperature 1?"),
        ("/set verbose", "did you mean /set stats on?"),
        ("/set nothink", "did you mean /think off?"),
        ("/set num_ctx 4096", "in a shell: glm chat --window 4096"),
        ("/set parameter num_ctx 4096", "in a shell: glm chat --window 4096"),
        ("/set temp to 0.3", "did you mean /set temperature 0.3?"),
        ("/temperature=0.3", "did you mean /set temperature 0.3?"),
        ("/settemp 0.3", "did you mean /set temperature 0.3?"),
        ("/temprature 0.3", "did you mean /set temperature 0.3?"),
        ("/set nostats", "did you mean /set stats off?"),
        ("/set context 4096", "before a chat begins: glm chat --window 4096"),
        ("/set stream off", "in a chat each reply streams"),
        ("/set temperature .2 please", "did you mean .2?"),
        ("/stats on", "did you mean /set stats on?"),
        ("/login", "GLM_API_KEY in the environment"),
        ("/version", "in a shell: glm --version"),
        ("/history 5", "did you mean /history?"),
        ("/list all", "did you mean /history?"),
        ("/model list", "in a shell: glm models list"),
        ("/model=echo:", "did you mean /model echo:?"),
        ("/model openai:x --base-url http://h", "did you mean /model openai:x http://h?"),
        ("/back", "did you mean /undo?"),
        ("/topk=40", "did you mean /set top_k 40?"),
        ("/sett seed 1", "did you mean /set seed 1?"),
        ("/regenerate seed=1", "did you mean /retry seed=1?"),
        ("/set a=1 b=2", "one of: max_tokens, temperature"),
        ("/set top_p 90", "it must be at most 1.0; did you mean 0.9?"),
        ("/retry --temperature 0.3", "did you mean /retry temperature=0.3?"),
        ("/retry -t 0.3", "did you mean /retry temperature=0.3?"),
        ("/export json", "did you mean /save talk.json?"),
        ("/save .md", "did you mean /save talk.md?"),
        ("/load 1", "did you mean /history?"),
        ("/load 12abcdef", "did you mean /resume 12abcdef?"),
        ("/model echo: --temperature 0.3", "/model echo:, then /set temperature 0.3"),
        ("/model echo: top_p=0.3", "/model echo:, then /set top_p 0.3"),
        ("/retry with temperature 1", "did you mean /retry temperature=1?"),
        ("/retry temp 1", "did you mean /retry temperature=1?"),
        ("/retry 1.0", "did you mean /retry temperature=1.0?"),
        ("/history search owl", "did you mean /history owl?"),
        ("/load smollm2", "did you mean /model smollm2?"),
        ("/set width 80", "before a chat begins: glm chat --width 80"),
        ("/set base-url x", "glm chat --base-url x"),
        ("/set offline", "glm chat --offline"),
        ("/set speculate off", "before a chat begins: glm chat --no-speculate"),
        ("/set speculate on", "before a chat begins: glm chat --speculate"),
        ("/set fused no", "before a chat begins: glm chat --no-fused"),
        ("/set history off", "glm chat --no-save"),
        ("/set api_key x", "GLM_API_KEY in the environment"),
        ("/set warm off", "glm config set warm off"),
        ("/temp 1", "did you mean /set temperature 1?"),
        ("/EXIT", "/exit leaves"),
        ("/regenerate", "did you mean /retry?"),
        ("/file c.txt", "did you mean /attach c.txt?"),
        ("/retry", "/retry asks the last question again"),
    ],
)
def test_what_is_set_or_called_otherwise_is_hinted_at(chat, line, hint):
    with pytest.raises(UsageError) as caught:
        run_command(chat, line)
    assert hint in caught.value.hint


def test_every_setting_is_set_here_or_has_a_way_that_works(chat, glm):
    options = glm("chat", "--help").out
    for name in setting_fields():
        try:
            run_command(chat, f"/set {name}")
        except UsageError as exc:
            named = re.search(r"glm chat (--[a-z-]+)", exc.hint)
            assert f"{named[1]} " in options if named else exc.hint


def test_a_setting_without_a_value_is_shown_with_who_set_it(chat):
    assert run_command(chat, "/set top_k") == f"top_k  {rows(chat)['top_k']}"
    run_command(chat, "/set top_k 7")
    assert run_command(chat, "/set top_k") == "top_k  7  (/set)"
    assert run_command(chat, "/set markdown") == "markdown  on  (default)"


def test_hints_in_a_chat_name_no_option(chat):
    for line in ("/set context drop", "/thinking maybe"):
        with pytest.raises(UsageError) as caught:
            run_command(chat, line)
        assert "one of: " in caught.value.hint and "--" not in caught.value.hint


def test_a_wrong_value_is_named_as_it_was_typed(chat):
    with pytest.raises(UsageError, match="markdown is 'x', not on or off") as caught:
        run_command(chat, "/set markdown x")
    assert caught.value.hint == "one of: on, off"
    with pytest.raises(UsageError, match="/goto needs a number"):
        run_command(chat, "/goto")
    with pytest.raises(UsageError, match="notify cannot be -1"):
        run_command(chat, "/set notify -1")
    with pytest.raises(UsageError, match="has no value"):
        run_command(chat, "/set = 5")
    assert run_command(chat, "/set temperature = 0.5") == "temperature is 0.5"
    assert run_command(chat, "/set temperature: 0.4") == "temperature is 0.4"


class WithOwn(EchoEngine):
    """An engine whose model brings settings and a system prompt along."""

    def filled(self, params):
        return Defaults(do_sample=True, temperature=0.8, stop_strings=("END",)).filled(params)

    def own_system(self):
        return "You are Echo"


def rows(chat):
    return dict(line.split(maxsplit=1) for line in run_command(chat, "/set").splitlines())


def test_set_shows_the_values_in_force_and_who_set_them(chat):
    chat.session.use(WithOwn(), "own")
    run_command(chat, "/set top_p 0.5")
    run_command(chat, "/set stats off")
    shown = rows(chat)
    assert shown["temperature"] == "0.8  (the model's own)"
    assert shown["top_k"] == "50  (the model's own)"
    assert shown["stop"] == "END  (the model's own)"
    assert shown["top_p"] == "0.5  (/set)"
    assert shown["stats"] == "off  (/set)"
    assert shown["thinking"] == "fold  (default)"
    assert shown["max_tokens"] == "what is left of the window"


def test_a_model_that_does_not_sample_is_greedy():
    assert Defaults(temperature=0.8).filled(GenerationParams()).temperature == 0.0


def test_history_is_switched_off_before_a_chat_begins(chat):
    with pytest.raises(UsageError) as caught:
        run_command(chat, "/set nohistory")
    assert caught.value.hint == "before a chat begins: glm chat --no-save"


def test_system_shows_what_the_template_adds(chat):
    chat.session.use(WithOwn(), "own")
    assert run_command(chat, "/system").endswith("the model's template adds: You are Echo")
    assert "adds" not in run_command(chat, "/system Be brief")


def test_several_settings_are_set_by_one_line(chat):
    assert run_command(chat, "/set temperature=0.2 top_p=0.9") == (
        "temperature is 0.2\ntop_p is 0.9"
    )
    assert (chat.session.params.temperature, chat.session.params.top_p) == (0.2, 0.9)


def test_the_switches_that_turn_off_are_those_of_the_command_line():
    off = {name for name, flags in FLAGS.items() if "/--no-" in flags[-1]}
    assert off - {*SET_HERE, "think"} == set(WITH_NO)
