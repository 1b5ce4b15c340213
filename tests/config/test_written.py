"""`glm config get`, `set`, `unset`, `edit`, and where config.toml lies."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from glmcli.cli.settings import opened_settings
from glmcli.config import left_behind, load_settings, own_config
from glmcli.config.files import parse_toml
from glmcli.config.place import find_config, move_config
from glmcli.config.settings import parse, setting_fields
from glmcli.config.written import all_unset, check_text, checked_value, with_value, without_value
from glmcli.errors import ConfigError

COMMENTED = '# mine\ntop_k = 5  # few\n\n[keys]  # of servers\n"lab:80" = "x"\n'
HERE = Path("config.toml")


@pytest.fixture
def platform(tmp_path, monkeypatch):
    """(folder of config, folder of data) of a platform, without a GLM_HOME."""
    monkeypatch.delenv("GLM_HOME")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "c"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "d"))
    (tmp_path / "d" / "glm").mkdir(parents=True)
    return tmp_path / "c" / "glm", tmp_path / "d" / "glm"


def toml_of(glm, tmp_path):
    return (tmp_path / "home" / "config.toml").read_text()


def test_comments_and_order_stay_when_a_value_changes():
    assert with_value(COMMENTED, HERE, "top_k", 7) == COMMENTED.replace("5", "7")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("model", "openai:\ud800"),
        ("stop", ["a", "\udcff"]),
        ("keys.a\ud800", "k"),
        ("seed\ud800", 1),
    ],
)
def test_what_utf8_cannot_say_is_refused(name, value):
    with pytest.raises(ConfigError, match="cannot be stored") as refused:
        with_value('api_key = "sk-own"\n', HERE, name, value)
    assert "sk-own" not in repr(refused.value)


def test_a_byte_that_is_no_utf8_is_refused_in_a_line(glm, tmp_path):
    (tmp_path / "home").mkdir(exist_ok=True)
    (tmp_path / "home" / "config.toml").write_text('api_key = "sk-own"\n')
    (tmp_path / "home" / "config.toml").chmod(0o600)
    for name in ("model", "system", "stop"):
        done = glm("config", "set", name, os.fsdecode(b"openai:a\xff"))
        assert done.code == 2 and "internal error" not in done.err and "sk-own" not in done.err
        assert f"{name} has a character that cannot be stored" in done.err
    assert toml_of(glm, tmp_path) == 'api_key = "sk-own"\n'


def test_a_new_value_stands_before_the_tables():
    text = with_value(COMMENTED, HERE, "seed", 1)
    assert parse_toml(text, HERE, {"top_k", "seed", "keys"})["seed"] == 1
    assert "# mine" in text and "# of servers" in text


def test_a_key_of_a_server_goes_into_its_table_and_out_of_it():
    text = with_value("", HERE, "keys.lab:80", "k")
    assert parse_toml(text, HERE, {"keys"}) == {"keys": {"lab:80": "k"}}
    assert parse_toml(without_value(text, HERE, "keys.lab:80"), HERE, {"keys"}) == {"keys": {}}


def test_the_all_unset_names_every_setting_and_sets_none():
    check_text(all_unset(), HERE)
    assert parse_toml(all_unset(), HERE, set()) == {}
    for name in setting_fields().keys() - {"home"}:
        assert f"# {name} = " in all_unset()


def test_every_default_of_the_all_unset_can_be_taken(tmp_path):
    lines = [line for line in all_unset().splitlines() if line.startswith("# ") and " = " in line]
    shown = "\n".join(
        line[2:] for line in lines if line.partition(" = ")[2] and '"HOST' not in line
    )
    check_text(shown, HERE)


@pytest.mark.parametrize(
    ("typed", "value"),
    [
        (("temperature", "0.5"), 0.5),
        (("--top-k", "40"), 40),
        (("GLM_TOP_K", "40"), 40),
        (("top_k=40",), 40),
        (("top_k", "=", "40"), 40),
        (("history", "off"), False),
        (("stop", "A|B"), ["A", "B"]),
        (("system", "Be", "terse"), "Be terse"),
        (("system", "-s is an option"), "-s is an option"),
        (("cache", "models"), "{here}/models"),
        (("system", "@note.txt"), "@{here}/note.txt"),
        (("model", "openai:qwen"), "openai:qwen"),
    ],
)
def test_a_value_is_kept_as_toml(glm, tmp_path, typed, value):
    done = glm("config", "set", *typed)
    assert done.code == 0, done.err
    wanted = value.format(here=tmp_path) if isinstance(value, str) else value
    known = setting_fields()
    assert wanted in parse_toml(toml_of(glm, tmp_path), HERE, known).values()
    assert stat.S_IMODE((tmp_path / "home" / "config.toml").stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("typed", "said", "hint"),
    [
        (
            ("temprature", "1"),
            "there is no setting temprature",
            "did you mean glm config set temperature 1?",
        ),
        (("temperature", "warm"), "temperature is 'warm', not a number", "randomness"),
        (("temperature", "default"), "not a number", "glm config unset temperature"),
        (("temperature", "-1"), "temperature cannot be -1.0", "at least 0"),
        (("seed", "-1"), "seed cannot be -1", "at least 0"),
        (("think", "maybe"), "think is 'maybe'", "one of: on, off"),
        (("dtype", "fp16"), "dtype cannot be 'fp16'", "glm config set dtype float16?"),
        (("temperature",), "temperature has no value", "glm config set temperature VALUE"),
        (("home", "x"), "config.toml cannot say where it lies", "export GLM_HOME"),
        (("markdown", "off"), "there is no setting markdown", "glm config set plain on"),
        (("model", "./missing"), "there is no folder", "check the path"),
        (
            ("base_url", "localhost:8000"),
            "not the address of a server",
            "base_url http://localhost",
        ),
        (("base_url", "http://u:pw@h/"), "holds a name or a password", "GLM_API_KEY"),
        (("api_key", "a b"), "characters that no key has", "GLM_API_KEY"),
        (("model", "nosuch:x"), "there is no engine called 'nosuch'", "openai:"),
        (("device", "gpu"), "device cannot be 'gpu'", "glm config set device cuda?"),
        (("keys.http://lab", "k"), "'http://lab' is not a host", '"HOST" = "KEY"'),
    ],
)
def test_nothing_wrong_is_written(glm, tmp_path, typed, said, hint):
    done = glm("config", "set", *typed)
    assert done.code in (2, 3) and said in done.err_lines[0] and hint in done.err_lines[1]
    assert not (tmp_path / "home" / "config.toml").exists()


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("model", "nosuch", "there is no model called 'nosuch'"),
        ("system", "@nosuch", "now; it is read when a conversation begins"),
    ],
)
def test_what_cannot_be_found_now_is_written_and_said(glm, tmp_path, name, value, said):
    done = glm("config", "set", name, value)
    assert done.code == 0 and said in done.err
    assert "nosuch" in toml_of(glm, tmp_path)


OF_FORM = {"device": ["cuda:1"], "keep": ["0", "90s", "10m", "2h", "0.5s", "1234567.125s"]}
OF_KIND = {
    "bool": ["on", "off"],
    "int": ["1", "4096"],
    "float": ["0.000001", "1"],
    "tuple": ["a", ["a|b", 'x"\\\n\x7f\x01é']],
    "Path": ["folder", 'fol"der'],
    "str": ['a "word"\n\t\\ \x7f\x01é = [#]', "true", "10m", "5"],
}
"""What is typed for a setting of that name, or else of that type."""


@pytest.mark.parametrize("name", [name for name in setting_fields() if name != "home"])
def test_a_value_of_every_setting_reads_back(name):
    item = setting_fields()[name]
    kind = next((word for word in OF_KIND if word in str(item.type)), "")
    for typed in OF_FORM.get(name) or item.metadata.get("choices") or OF_KIND[kind]:
        value = checked_value(name, typed)
        text = with_value(COMMENTED, HERE, name, value)
        check_text(text, HERE)
        read = parse_toml(text, HERE, {*setting_fields(), "keys"})[name]
        assert parse(name, read, "config.toml") == parse(name, value, "here")
        check_text(without_value(text, HERE, name), HERE)


def test_how_long_a_model_is_kept_is_read_by_the_next_command(glm, tmp_path):
    assert glm("config", "set", "keep", "10m").code == 0
    assert 'keep = "10m"' in toml_of(glm, tmp_path)
    assert glm("config", "get", "keep").out == "10m\n"
    assert glm("config", "unset", "keep").code == 0


def test_several_stop_texts_are_several(glm, tmp_path):
    assert glm("config", "set", "stop", "a b", "c").code == 0
    assert 'stop = ["a b", "c"]' in toml_of(glm, tmp_path)


def test_a_key_is_taken_from_stdin_and_never_shown(glm, tmp_path):
    done = glm("config", "set", "api_key", "-", stdin="sk-secret\n")
    assert done.code == 0 and "sk-secret" not in done.out + done.err
    assert 'api_key = "sk-secret"' in toml_of(glm, tmp_path)
    assert glm("config", "get", "api_key").out == "********\n"


def test_get_prints_what_is_in_force(glm):
    glm("config", "set", "temperature", "0.5")
    assert glm("config", "get", "temperature").out == "0.5\n"
    assert glm("config", "get", "temperature", GLM_TEMPERATURE="1").out == "1.0\n"
    row = json.loads(glm("config", "get", "GLM_TEMPERATURE", "--json").out)
    assert row == {"name": "temperature", "value": "0.5", "source": "config.toml", "ignored": ""}


def test_get_prints_every_line_as_it_is(glm):
    text = "one\n\n  two\t\x1b[31m\n"
    assert glm("config", "set", "system", "-", stdin=text).code == 0
    assert glm("config", "get", "system").out == text


def test_what_goes_before_a_value_is_said(glm):
    done = glm("config", "set", "top_k", "5", GLM_TOP_K="7")
    assert done.err == "here the value of environment goes before it\n"


def test_unset_takes_out_even_what_is_no_setting(glm, tmp_path):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "config.toml").write_text("nonsense = 1 # x\nseed = 2\n")
    assert glm("config", "unset", "nonsense").code == 0
    assert toml_of(glm, tmp_path) == "seed = 2\n"
    done = glm("config", "unset", "top_k")
    assert done.code == 2 and "does not set top_k" in done.err


def test_a_broken_file_stays_and_edit_is_named(glm, tmp_path):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "config.toml").write_text("]")
    done = glm("config", "set", "seed", "1")
    assert done.code == 2 and "on a terminal glm config edit opens it" in done.err_lines[1]
    assert toml_of(glm, tmp_path) == "]"
    assert glm("config", "path").out.strip() == str(tmp_path / "home" / "config.toml")


def test_a_link_stays_and_its_file_is_written(glm, tmp_path):
    (tmp_path / "home").mkdir()
    (tmp_path / "dots.toml").write_text("seed = 1\n")
    (tmp_path / "home" / "config.toml").symlink_to("../dots.toml")
    assert glm("config", "set", "seed", "2").code == 0
    assert (tmp_path / "home" / "config.toml").is_symlink()
    assert (tmp_path / "dots.toml").read_text() == "seed = 2\n"
    assert sorted(path.name for path in tmp_path.glob("*.toml*")) == ["dots.toml"]


def test_without_a_terminal_there_is_no_editor(glm):
    done = glm("config", "edit")
    assert done.code == 2 and "glm config set NAME VALUE" in done.err_lines[1]


def test_config_toml_lies_in_the_folder_for_configuration(platform):
    config, _ = platform
    assert own_config() == config / "config.toml"


def test_an_older_config_toml_is_moved_once_and_said(platform):
    config, data = platform
    (data / "config.toml").write_text("seed = 1\n")
    said: list[str] = []
    assert load_settings({}).seed == 1  # whoever does not move it reads it where it is
    move_config(said.append)
    move_config(said.append)
    assert said == [f"{data / 'config.toml'} was moved to {config / 'config.toml'}"]
    assert load_settings({}).seed == 1
    assert not (data / "config.toml").exists()


def test_of_two_the_new_one_counts_and_that_is_said(platform):
    config, data = platform
    config.mkdir(parents=True)
    (data / "config.toml").write_text("seed = 1\n")
    (config / "config.toml").write_text("seed = 2\n")
    move_config(pytest.fail)
    settings = load_settings({})
    assert settings.seed == 2
    assert settings.left_behind == (
        f"{data / 'config.toml'} is not read, since there is {config / 'config.toml'}"
    )


def test_the_one_that_is_not_read_is_told_once_a_day_and_wherever_it_is_the_topic(platform, capsys):
    config, data = platform
    config.mkdir(parents=True)
    for folder in (config, data):
        (folder / "config.toml").write_text("seed = 1\n")
    told = []
    for _ in range(2):
        opened_settings({"model": "echo:"}, {"model"})
        told.append("is not read" in capsys.readouterr().err)
    assert told == [True, False]
    for _ in range(2):
        assert "is not read" in left_behind()


def test_one_that_cannot_be_moved_is_read_where_it_is(platform):
    config, data = platform
    (data / "config.toml").write_text("seed = 1\n")
    config.parent.write_text("no folder")
    move_config(pytest.fail)
    assert load_settings({}).seed == 1


def test_a_link_is_not_moved(platform):
    _, data = platform
    (data / "real.toml").write_text("seed = 1\n")
    (data / "config.toml").symlink_to("real.toml")
    move_config(pytest.fail)
    assert load_settings({}).seed == 1


def test_with_a_glm_home_it_stays_there(platform, tmp_path):
    assert find_config(tmp_path / "h").path == tmp_path / "h" / "config.toml"
    (platform[1] / "config.toml").write_text("seed = 1\n")
    settings = load_settings({}, environ={**os.environ, "GLM_HOME": str(tmp_path / "h")})
    assert settings.seed is None


def test_the_move_is_said_by_the_command_that_meets_it(glm, platform):
    (platform[1] / "config.toml").write_text("seed = 1\n")
    done = glm("config", "get", "seed", GLM_HOME="")
    assert done.out == "1\n" and "was moved to" in done.err


def test_a_home_in_config_toml_is_told(tmp_path):
    (tmp_path / "config.toml").write_text('home = "x"\n')
    settings = load_settings({}, environ={"GLM_HOME": str(tmp_path)}, folder=tmp_path)
    assert settings.problems == (f"{tmp_path / 'config.toml'} sets home, which only GLM_HOME does",)


STRANGE = [("oops = 1", "oops"), ("[oops]\na = 1", "oops"), ("keys = 1", "keys")]


@pytest.mark.parametrize(("text", "name"), STRANGE)
def test_an_entry_that_is_no_setting_is_a_line_where_nothing_is_answered(glm, tmp_path, text, name):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "config.toml").write_text(text)
    lists = [("history", "list"), ("models", "list"), ("config", "get", "seed"), ("config", "show")]
    for command in lists:
        done = glm(*command)
        assert done.code == 0, command
        assert [name in line for line in done.err_lines] == [True], command
    asked = glm("ask", "-m", "echo:", "hi")
    assert asked.code == 2 and asked.out == ""
    assert glm("config", "unset", name).code == 0
    assert glm("ask", "-m", "echo:", "hi").code == 0


def test_the_hint_for_a_name_that_is_no_setting_takes_it_out(glm, tmp_path):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "config.toml").write_text("'o ps' = 1\nother = 2\n")
    done = glm("ask", "-m", "echo:", "hi")
    assert done.code == 2 and "sets 'o ps', 'other', which are not settings" in done.err
    assert "glm config unset 'o ps' takes it out" in done.err_lines[1]


def test_a_value_that_cannot_be_is_told_by_get_and_stops_a_question(glm, tmp_path):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "config.toml").write_text('temperature = "hot"')
    got = glm("config", "get", "temperature")
    assert got.code == 0 and "'hot' of config.toml" in got.err and "not a number" in got.err
    assert "glm config unset temperature" in glm("ask", "-m", "echo:", "hi").err_lines[1]


@pytest.mark.parametrize("name", ["model", "cache", "vi", "base_url", "api_key", "keys.lab"])
def test_nothing_is_no_value(glm, tmp_path, name):
    done = glm("config", "set", name, "")
    assert done.code == 2 and f"glm config unset {name} " in done.err_lines[1]
    assert not (tmp_path / "home" / "config.toml").exists()


def test_an_empty_model_in_config_toml_is_named(glm, tmp_path):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "config.toml").write_text('model = ""')
    done = glm("ask", "hi")
    assert done.code == 2 and "GLM_MODEL (config.toml) is empty" in done.err
    assert "glm config unset model" in done.err_lines[1]


def test_keys_still_count_beside_a_name_that_is_no_setting(tmp_path):
    file = tmp_path / "config.toml"
    file.write_text('oops = 1\n[keys]\nlab = "sk-lab"\n')
    file.chmod(0o600)
    settings = load_settings({}, environ={"GLM_HOME": str(tmp_path)}, folder=tmp_path, needed=())
    assert settings.keys == {"lab": "sk-lab"}
    assert [line.count("oops") for line in settings.strange] == [2]


@pytest.mark.parametrize(
    ("text", "line"),
    [("vi = true\ntemperature = [\n", "at line 2"), ("temperature 0\n\nvi = true\n", "at line 1")],
)
def test_every_command_names_the_same_line_of_a_broken_file(glm, tmp_path, text, line):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "config.toml").write_text(text)
    calls = [("set", "top_p", "0.5"), ("get", "top_p"), ("unset", "top_p"), ("edit",), ("show",)]
    said = [glm("config", *call) for call in calls] + [glm("ask", "-m", "echo:", "hi")]
    assert {done.code for done in said} == {2}
    assert len({done.err for done in said}) == 1 and line in said[0].err_lines[0]


@pytest.mark.parametrize("name", ["keys.lab.test", "api_key", "serve_key"])
def test_a_key_comes_from_stdin_unless_it_is_typed_which_is_told(glm, tmp_path, name):
    done = glm("config", "set", name, stdin="k-1\n")
    assert done.code == 0 and done.err == "" and '"k-1"' in toml_of(glm, tmp_path)
    done = glm("config", "set", name, "k-2")
    assert done.code == 0 and '"k-2"' in toml_of(glm, tmp_path)
    assert "the shell's history" in done.err_lines[0] and f"glm config set {name}" in done.err
    assert "k-2" not in done.out + done.err
    done = glm("config", "set", name, stdin="")
    assert done.code == 2 and f"{name} has no value" in done.err
