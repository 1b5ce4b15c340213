from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path
from time import process_time

import pytest

from glmcli.config import (
    Settings,
    demonstration,
    load_settings,
    parse,
    setting_fields,
    show,
    variable,
)
from glmcli.config.settings import masked
from glmcli.errors import ConfigError

ROOT = Path(__file__).parent.parent


def yes(home, dotenv, data, powerful):
    """Trust every folder."""
    return True


def load(tmp_path, options=None, environ=None, dotenv=None, toml=None, **how):
    home = tmp_path / "home"
    home.mkdir(exist_ok=True)
    if toml is not None:
        (home / "config.toml").write_text(toml)
    if dotenv is not None:
        (tmp_path / ".env").write_text(dotenv)
    environ = {"GLM_HOME": str(home)} | (environ or {})
    return load_settings(options or {}, environ=environ, folder=tmp_path, **how)


def test_each_source_beats_the_next(tmp_path):
    layers = {
        "option": {"options": {"model": "from option"}},
        "environment": {"environ": {"GLM_MODEL": "from environment"}},
        ".env": {"dotenv": "GLM_MODEL='from .env'\n"},
        "config.toml": {"toml": 'model = "from config.toml"\n'},
    }
    names = list(layers)
    for at, source in enumerate(names):
        folder = tmp_path / str(at)
        folder.mkdir()
        given = {k: v for name in names[at:] for k, v in layers[name].items()}
        settings = load(folder, decide=yes, **given)
        assert (settings.model, settings.sources["model"]) == (f"from {source}", source)
    assert load(tmp_path).model == "smollm2"
    assert "model" not in load(tmp_path).sources


def test_types_come_out_of_text(tmp_path):
    environ = {
        "GLM_TEMPERATURE": "0.5",
        "GLM_TOP_K": "40",
        "GLM_HISTORY": "off",
        "GLM_THINK": "on",
        "GLM_STOP": "END|###",
        "GLM_CACHE": "~/models",
    }
    settings = load(tmp_path, environ=environ)
    assert settings.temperature == 0.5
    assert settings.top_k == 40
    assert settings.history is False
    assert settings.think is True
    assert settings.params.stop == ("END", "###")
    assert settings.cache == Path.home() / "models"


def test_toml_has_types_of_its_own(tmp_path):
    settings = load(tmp_path, toml='temperature = 1\nstop = ["END"]\nplain = true\n')
    assert settings.temperature == 1.0
    assert settings.stop == ("END",)
    assert settings.plain == "on"


def test_an_empty_variable_counts_as_unset(tmp_path):
    assert load(tmp_path, environ={"GLM_MODEL": ""}).model == "smollm2"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("GLM_TEMPERATURE", "warm"),
        ("GLM_TEMPERATURE", "-0.1"),
        ("GLM_TEMPERATURE", "inf"),
        ("GLM_TOP_P", "0"),
        ("GLM_TOP_K", "1.5"),
        ("GLM_MAX_TOKENS", "0"),
        ("GLM_HISTORY", "perhaps"),
        ("GLM_DTYPE", "int3"),
        ("GLM_THREADS", "0"),
    ],
)
def test_a_malformed_value_is_named(tmp_path, name, value):
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, environ={name: value})
    assert name in caught.value.message
    assert caught.value.hint


def test_a_broken_config_toml_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"config\.toml"):
        load(tmp_path, toml="model = smollm2\n")


def test_an_unknown_name_in_config_toml_suggests_the_nearest(tmp_path):
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, toml="temprature = 1\n")
    assert "temperature" in caught.value.hint


def test_other_programs_lines_in_dotenv_are_ignored(tmp_path):
    dotenv = "DATABASE_URL=x\nthis is not an assignment\nGLM_SEED=7\n"
    assert load(tmp_path, dotenv=dotenv).seed == 7


def test_a_line_of_dotenv_that_is_not_text_is_named(tmp_path):
    (tmp_path / ".env").write_bytes(b"# caf\xe9\nGLM_THINKING=\xff\xfe\n")
    with pytest.raises(ConfigError, match=r"\.env, line 2: GLM_THINKING cannot be parsed"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("GLM_SYSTEM=a b  # said to all", "a b"),
        ("  export GLM_SYSTEM = a", "a"),
        ("GLM_SYSTEM='a # b'  # c", "a # b"),
        (r'GLM_SYSTEM="a\n\"b\""', 'a\n"b"'),
        (r"GLM_SYSTEM='a\n\'b\''", r"a\n'b'"),
        ('GLM_SYSTEM="a\nb"', "a\nb"),
        ("GLM_SYSTEM=a\r\nGLM_SEED=1\r\n", "a"),
        ("GLM_SYSTEM=a#b", "a#b"),
        ("GLM_SYSTEM= # nothing", ""),
        ("# GLM_SYSTEM=a", ""),
        ("GLM_SYSTEM=a\nGLM_SYSTEM=b", "b"),
        ("OTHER='\nGLM_SYSTEM=a\n'", ""),
        ("OTHER='never closed\nGLM_SYSTEM=a", "a"),
        ("\ufeffGLM_SYSTEM=a", "a"),
        ("GLM_SYSTEM=${HOME}$HOME", "${HOME}$HOME"),
    ],
)
def test_a_line_of_dotenv_means_what_it_says(tmp_path, line, value):
    (tmp_path / ".env").write_bytes(line.encode())
    assert load(tmp_path).system == value


def test_the_variables_of_the_process_are_not_put_into_a_trusted_dotenv_either(tmp_path):
    environ = {"SECRET": "sk-one"}
    settings = load(tmp_path, environ=environ, dotenv='GLM_API_KEY="${SECRET}"', decide=yes)
    assert settings.api_key == "${SECRET}"


@pytest.mark.parametrize("data", [b"GLM_" * 3_000_000, b"A='\\\n" * 3_000_000])
def test_twelve_megabytes_of_dotenv_cost_nothing(tmp_path, data):
    (tmp_path / ".env").write_bytes(data)
    began = process_time()
    settings = load(tmp_path)
    assert process_time() - began < 1
    assert [" is too large: 12,000,000 bytes" in line for line in settings.problems] == (
        [True] if b"GLM_" in data else []
    )


@pytest.mark.parametrize(
    "line", ["GLM_A='", "B=\"'", "GLM_A='\\\nB=\"", "A=x" + " " * 50, "export " * 9, "A='x' y\n"]
)
def test_a_dotenv_is_read_in_time_that_grows_with_it_and_no_faster(tmp_path, line):
    (tmp_path / ".env").write_text(f"{line}\n" * (900_000 // len(line)) + "\n#\nGLM_SEED=7\n")
    began = process_time()
    load(tmp_path)
    assert process_time() - began < 3


def test_a_dotenv_without_a_line_for_glm_is_never_an_error(tmp_path):
    dotenv, foreign = (
        tmp_path / ".env",
        "A='\n}{\nOTHER_GLM=1\nGLM_ROOT_DIR=/opt/glm\nGLM_INCLUDE=\n",
    )
    dotenv.mkdir()
    assert load(tmp_path).problems == ()
    dotenv.rmdir()
    os.mkfifo(dotenv)
    assert load(tmp_path).problems == (f"{dotenv} is a pipe, not a file; nothing of it is used",)
    dotenv.unlink()
    for data in (b"\xff\xfeA\0=\0", b"A=\xe9\n", b"\0" * 9, foreign.encode(), b"x" * 9_000_000):
        dotenv.write_bytes(data)
        assert load(tmp_path).problems == ()
    dotenv.chmod(0)
    assert load(tmp_path).problems == ()


def test_without_a_home_nothing_is_kept_in_the_working_folder(tmp_path, monkeypatch):
    # What it says for a user without HOME whom the system does not know.
    monkeypatch.setattr("platformdirs.user_data_dir", lambda name: f"~/.local/share/{name}")
    monkeypatch.setattr("platformdirs.user_cache_dir", lambda name: f"~/.cache/{name}")
    with pytest.raises(ConfigError, match="there is no home folder to keep things in") as caught:
        load_settings({}, environ={}, folder=tmp_path)
    assert caught.value.hint == "set GLM_HOME and GLM_CACHE to folders"
    named = {"GLM_HOME": str(tmp_path / "h"), "GLM_CACHE": str(tmp_path / "c")}
    assert load_settings({}, environ=named, folder=tmp_path).cache == tmp_path / "c"


def test_a_slip_in_dotenv_is_told(tmp_path):
    settings = load(tmp_path, dotenv="GLM_TEMPERATUR=1\n")
    assert settings.problems == (
        ".env sets GLM_TEMPERATUR, which is not a setting; did you mean GLM_TEMPERATURE?",
    )


@pytest.mark.parametrize("line", ["glm_model=echo:", "export Glm_Model = echo:", "glm_model='x"])
def test_a_name_in_small_letters_in_dotenv_is_told_and_sets_nothing(tmp_path, line):
    settings = load(tmp_path, dotenv=f"{line}\n")
    assert ", which is not a setting; did you mean GLM_MODEL?" in settings.problems[0]
    assert settings.sources.get("model", "default") == "default"


def test_config_toml_may_begin_with_a_bom(tmp_path):
    assert load(tmp_path, toml="\ufeffseed = 7\n").seed == 7


@pytest.mark.parametrize(
    ("toml", "said"),
    [
        ("stop = 5", "GLM_STOP (config.toml) is 5, not a list of texts"),
        ("stop = [1]", "GLM_STOP (config.toml) is [1], not a list of texts"),
        ("model = 5", "GLM_MODEL (config.toml) is 5, not a text"),
        ('cache = "\\u0000"', "GLM_CACHE (config.toml) is '␀', not the path of a folder"),
        ("cache = 1", "GLM_CACHE (config.toml) is 1, not the path of a folder"),
        ("temperature = true", "GLM_TEMPERATURE (config.toml) is True, not a number"),
        ("threads = 5000", "GLM_THREADS (config.toml) cannot be 5000"),
        ("timeout = 1e300", "GLM_TIMEOUT (config.toml) cannot be 1e+300"),
    ],
)
def test_a_value_of_another_type_in_config_toml_is_named(tmp_path, toml, said):
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, toml=toml)
    assert caught.value.message == said
    assert caught.value.hint


def test_a_bad_value_of_a_folder_is_named_with_its_file_and_the_way_past_it(tmp_path):
    (tmp_path / ".env").write_text("GLM_TEMPERATURE=hot\n")
    with pytest.raises(ConfigError) as caught:
        load(tmp_path)
    assert f"it stands in {tmp_path / '.env'}: " in caught.value.hint
    assert "or set GLM_TEMPERATURE in the environment" in caught.value.hint
    assert load(tmp_path, environ={"GLM_TEMPERATURE": "0.5"}).temperature == 0.5


def test_a_key_of_another_type_is_not_shown(tmp_path):
    with pytest.raises(ConfigError) as caught:
        load(private(tmp_path), toml="api_key = 12345\n")
    assert caught.value.message == "GLM_API_KEY (config.toml) is ********, not a text"


def test_a_config_toml_without_end_is_named(tmp_path):
    for toml in ("a = " + "[" * 100_000, "#" * 1_000_001):
        with pytest.raises(ConfigError, match=r"config\.toml"):
            load(tmp_path, toml=toml)
    (tmp_path / "home" / "config.toml").unlink()
    os.mkfifo(tmp_path / "home" / "config.toml")
    with pytest.raises(ConfigError, match=r"config\.toml is a pipe, not a file"):
        load(tmp_path)


def test_a_bad_value_stops_only_what_needs_it(tmp_path):
    settings = load(tmp_path, toml='temperature = "warm"\n', needed=("home",))
    assert settings.temperature is None
    assert settings.ignored["temperature"].why == (
        "GLM_TEMPERATURE (config.toml) is 'warm', not a number"
    )


KEYS = '[keys]\n"api.test" = "sk-one"\n"Lab:8000" = "sk-two"\nplain.test = "sk-three"\n'


def private(tmp_path):
    """A config.toml that only its owner may read."""
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "config.toml").touch(mode=0o600)
    return tmp_path


@pytest.mark.parametrize("toml", ['api_key = "secret"\n', KEYS])
def test_a_key_in_a_file_that_others_can_read_is_refused(tmp_path, toml):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "config.toml").touch(mode=0o644)
    with pytest.raises(ConfigError, match="others may read") as caught:
        load(tmp_path, toml=toml)
    assert "chmod 600" in caught.value.hint


def test_each_host_can_have_its_key(tmp_path):
    settings = load(private(tmp_path), toml=KEYS)
    assert settings.keys == {"api.test": "sk-one", "lab:8000": "sk-two", "plain.test": "sk-three"}


def test_secrets_are_masked(tmp_path):
    settings = load(private(tmp_path), environ={"GLM_API_KEY": "sk-very-secret"}, toml=KEYS)
    rows = list(settings.rows())
    assert ("GLM_API_KEY", "********", "environment") in rows
    assert ('keys."lab:8000"', "********", "config.toml") in rows
    assert "sk-" not in repr(rows) + repr(settings)


@pytest.mark.parametrize(
    "toml",
    [
        'keys = "sk-one"\n',
        '[keys]\n"api.test" = ""\n',
        '[keys]\n"api.test" = ["sk-one"]\n',
        '[keys]\n"https://api.test/v1" = "sk-one"\n',
        '[keys]\n"api.test" = "sk-one\n',
        '[keys]\napi.test:8000 = "sk-one"\n',
    ],
)
def test_a_table_of_keys_that_is_wrong_is_named_and_shows_no_key(tmp_path, toml):
    with pytest.raises(ConfigError, match=r"config\.toml") as caught:
        load(private(tmp_path), toml=toml)
    assert caught.value.hint
    assert "sk-one" not in caught.value.message + caught.value.hint


def test_keys_belong_in_no_other_place(tmp_path):
    assert load(tmp_path, dotenv="GLM_KEYS=x\n", decide=yes).keys == {}


def test_a_line_of_dotenv_that_cannot_be_parsed_is_not_shown(tmp_path):
    with pytest.raises(ConfigError, match="line 1: GLM_API_KEY cannot be parsed") as caught:
        load(tmp_path, dotenv="GLM_API_KEY='sk-one\n", decide=yes)
    assert "sk-one" not in caught.value.message + caught.value.hint


def test_a_folder_that_dotenv_names_is_trusted_no_more_than_dotenv(tmp_path):
    evil = tmp_path / "evil"
    evil.mkdir()
    (evil / "config.toml").write_text('base_url = "http://evil.test"\nseed = 7\n')
    folder = str(evil)
    (tmp_path / ".env").write_text(f"GLM_HOME={folder}\n")
    settings = load_settings({}, environ={}, folder=tmp_path, decide=yes)
    assert (settings.home, settings.base_url, settings.seed) == (evil, "", 7)
    assert settings.sources["seed"] == str(evil / "config.toml")
    assert settings.ignored["base_url"].source == str(evil / "config.toml")
    chosen = load_settings({}, environ={"GLM_HOME": folder}, folder=tmp_path)
    assert chosen.sources["base_url"] == "config.toml"


def test_the_example_lists_every_setting_with_its_default():
    lines = (ROOT / ".env.example").read_text().splitlines()
    listed = dict(line[2:].split("=", 1) for line in lines if line.startswith("# GLM_"))
    wanted = {
        variable(name): "" if name in ("home", "cache") else show(item.default)
        for name, item in setting_fields().items()
    }
    assert listed == wanted


def test_a_seed_is_a_number_that_torch_can_hold():
    assert parse("seed", str(2**63 - 1), "option") == 2**63 - 1
    with pytest.raises(ConfigError, match="--seed cannot be 9223372036854775808") as caught:
        parse("seed", str(2**63), "option")
    assert caught.value.hint == "it must be at most 9223372036854775807"


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("http://user:pass@host:80/v1", "http://********@host:80/v1"),
        ("http://host:80/x@other/v1", "http://host:80/x@other/v1"),
        ("http://host:80?x@other", "http://host:80?********"),
        ("user:pass@host", "********@host"),
        ("http://api.\u043epenai.com/v1", "http://api.xn--penai-iye.com/v1"),
    ],
)
def test_an_address_is_shown_with_the_host_that_it_leads_to(address, shown):
    assert masked("base_url", address) == shown


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("GLM_MODLE", "GLM_MODEL"),
        ("GLM_TEMPRATURE", "GLM_TEMPERATURE"),
        ("GLM_TEMP", "GLM_TEMPERATURE or GLM_TEMPLATE"),
        ("GLM_URL", "GLM_BASE_URL"),
        ("GLM_KEY", "GLM_API_KEY or GLM_SERVE_KEY"),
        ("GLM_TOKENS", "GLM_MAX_TOKENS"),
        ("GLM_KEPT", "GLM_KEEP"),
        ("GLM_NUM_THREADS", "GLM_THREADS"),
        ("GLM_DEFAULT_MODEL", "GLM_MODEL"),
        ("GLM_Model", "GLM_MODEL"),
        ("glm_model", "GLM_MODEL"),
    ],
)
def test_a_misspelt_variable_of_the_environment_is_noticed(tmp_path, name, near):
    assert load(tmp_path, environ={name: "1"}).problems == (
        f"the environment sets {name}, which is not a setting; did you mean {near}?",
    )


@pytest.mark.parametrize(
    "name", ["GLM_ROOT_DIR", "GLM_INCLUDE_DIRS", "GLM_FOUND", "GLM_T", "GLM_", "GL_MODEL"]
)
def test_a_variable_of_another_program_is_none_of_ours(tmp_path, name):
    assert load(tmp_path, environ={name: "1"}).problems == ()


def test_the_demonstration_is_told_of_once_a_day_and_only_where_nobody_chose_a_model(tmp_path):
    home = tmp_path / "home"
    settings = Settings(home=home)
    assert "demonstration" in demonstration(settings)
    assert demonstration(settings) == ""
    os.utime(home / "demonstration", (0, time.time() - 86_400))
    assert "demonstration" in demonstration(settings)
    assert demonstration(replace(settings, sources={"model": "option"})) == ""


def test_without_a_history_nothing_remembers_that_the_demonstration_was_told_of(tmp_path):
    settings = Settings(home=tmp_path / "home", history=False)
    assert demonstration(settings) == demonstration(settings) != ""
    assert not (tmp_path / "home").exists()
    assert demonstration(replace(settings, history=True)) != ""
    assert demonstration(settings) == ""
    (tmp_path / "file").write_text("")
    assert demonstration(Settings(home=tmp_path / "file")) != ""


@pytest.mark.parametrize(
    ("raw", "value"),
    [("1", "on"), ("yes", "on"), (True, "on"), ("no", "off"), ("reader", "reader")],
)
def test_a_switch_with_a_third_position_takes_all_words_for_on_and_off(raw, value):
    assert parse("plain", raw, "environment") == value
    with pytest.raises(ConfigError):
        parse("plain", "aloud", "environment")
