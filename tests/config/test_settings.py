"""What the table says of each setting: what a folder may make of it, and whether that is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from glmcli.cli.settings import taken_lines
from glmcli.config import choices, load_settings
from glmcli.config.settings import masked, setting_fields, variable
from glmcli.config.values import MASK

NEAR = [name for name, item in setting_fields().items() if item.metadata["near"] != "never"]
WORDS = {
    "model": st.just("smollm2"),
    "device": st.sampled_from(["cpu", "cuda"]),
    "base_url": st.just("http://127.0.0.1:1"),
    "keep": st.sampled_from(["10m", "2h"]),
}


def words_for(name: str) -> st.SearchStrategy[str]:
    """Values that a file could give a setting; those that it may not are for no test here."""
    rules: Any = setting_fields()[name].metadata
    if known := choices(name):
        return st.sampled_from(known)
    if "low" in rules or "above" in rules:
        return st.just("1")
    return WORDS.get(name, st.sampled_from(["a", "b c"]))


@pytest.mark.parametrize("name", NEAR)
@given(data=st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=8)
def test_what_a_folder_sets_is_said_unless_it_changes_speed_or_look_of_a_reply_alone(
    name: str, data: st.DataObject, tmp_path: Path
):
    value = data.draw(words_for(name))
    (tmp_path / ".env").write_text(f"{variable(name)}='{value}'\n")
    found = load_settings(
        {},
        environ={"GLM_HOME": str(tmp_path)} if name != "home" else {},
        folder=tmp_path,
        decide=lambda *_: True,
    )
    assert found.sources.get(name) == ".env"
    lines = taken_lines(found, setting_fields())
    assert bool(lines) == (setting_fields()[name].metadata["changes"] == "more")
    assert all(line.startswith("chosen by .env: ") for line in lines)


def test_nothing_but_speed_and_the_look_of_a_reply_goes_unsaid():
    unsaid = {n for n, item in setting_fields().items() if item.metadata["changes"] != "more"}
    assert unsaid == {"fused", "speculate", "threads", "thinking", "width", "stats"}


@pytest.mark.parametrize(
    "line", ["GLM_VI=on", "GLM_PLAIN=reader", "GLM_PLAIN=off", "GLM_WARM=on", "GLM_NOTIFY=0.0"]
)
def test_what_a_folder_makes_of_the_prompt_and_the_bell_is_said_where_a_chat_begins(
    glm, tmp_path: Path, line: str
):
    (tmp_path / ".env").write_text(f"{line}\n")
    done = glm("chat", "-q", "-m", "echo:", stdin="hi\n")
    assert f"chosen by .env: {line}" in done.err_lines
    assert glm("ask", "-q", "-m", "echo:", "hi").err == ""


@pytest.mark.parametrize("line", ["GLM_WARM=often", "GLM_NOTIFY=loud", "GLM_VI=emacs"])
def test_a_wrong_value_of_what_only_chats_have_stops_no_question(glm, tmp_path: Path, line: str):
    (tmp_path / ".env").write_text(f"{line}\n")
    assert glm("ask", "-q", "-m", "echo:", "hi").out == "hi\n"
    assert glm("chat", "-q", "-m", "echo:", stdin="hi\n").code == 2


def test_a_file_can_ask_for_tracebacks_and_that_is_said(glm, tmp_path: Path):
    (tmp_path / ".env").write_text("GLM_DEBUG=on\n")
    done = glm("ask", "-m", "./none", "hi")
    assert done.err_lines[0] == "chosen by .env: GLM_DEBUG=on"
    assert "Traceback" in done.err
    (tmp_path / ".env").unlink()
    (tmp_path / "home").mkdir(exist_ok=True)
    (tmp_path / "home" / "config.toml").write_text("debug = true\n")
    assert "Traceback" in glm("ask", "-m", "./none", "hi").err


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (
            "https://h/x?api-version=2024-05-01-preview",
            "https://h/x?api-version=2024-05-01-preview",
        ),
        ("https://h/x?stream=true&v=1.2", "https://h/x?stream=true&v=1.2"),
        ("https://h/x?a=1&api_key=open", f"https://h/x?a=1&api_key={MASK}"),
        ("https://h/x?k0sesame5open", f"https://h/x?{MASK}"),
        ("https://h/x?x=k0sesame5open&", f"https://h/x?x={MASK}"),
    ],
)
def test_what_may_be_secret_in_the_query_of_an_address_is_hidden(url, shown):
    assert masked("base_url", url) == shown
