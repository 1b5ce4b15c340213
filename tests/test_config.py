from __future__ import annotations

from pathlib import Path

import pytest

from glmcli.config import load_settings, parse, show, table, variable
from glmcli.errors import ConfigError

ROOT = Path(__file__).parent.parent


def load(tmp_path, options=None, environ=None, dotenv=None, toml=None):
    home = tmp_path / "home"
    home.mkdir(exist_ok=True)
    if toml is not None:
        (home / "config.toml").write_text(toml)
    if dotenv is not None:
        (tmp_path / ".env").write_text(dotenv)
    return load_settings(
        options or {}, environ={"GLM_HOME": str(home)} | (environ or {}), folder=tmp_path
    )


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
        settings = load(folder, **{k: v for name in names[at:] for k, v in layers[name].items()})
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
    assert settings.plain is True


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
    dotenv = "DATABASE_URL=x\nthis is no assignment\nGLM_MODEL=echo:\n"
    assert load(tmp_path, dotenv=dotenv).model == "echo:"


def test_a_dotenv_that_is_no_text_is_named(tmp_path):
    (tmp_path / ".env").write_bytes(b"GLM_MODEL=\xff\xfe")
    with pytest.raises(ConfigError, match=r"\.env"):
        load(tmp_path)


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
    with pytest.raises(ConfigError, match="GLM_KEYS"):
        load(tmp_path, dotenv="GLM_KEYS=x\n")


def test_a_line_of_dotenv_that_cannot_be_parsed_is_not_shown(tmp_path):
    with pytest.raises(ConfigError, match="line 1: GLM_API_KEY cannot be parsed") as caught:
        load(tmp_path, dotenv="GLM_API_KEY='sk-one\n")
    assert "sk-one" not in caught.value.message + caught.value.hint


def test_a_folder_that_dotenv_names_is_trusted_no_more_than_dotenv(tmp_path):
    evil = tmp_path / "evil"
    evil.mkdir()
    (evil / "config.toml").write_text('base_url = "http://evil.test"\n')
    folder = str(evil)
    (tmp_path / ".env").write_text(f"GLM_HOME={folder}\n")
    settings = load_settings({}, environ={"GLM_API_KEY": "sk-one"}, folder=tmp_path)
    assert settings.sources["base_url"] == ".env"
    chosen = load_settings({}, environ={"GLM_HOME": folder}, folder=tmp_path)
    assert chosen.sources["base_url"] == "config.toml"


def test_the_example_lists_every_setting_with_its_default():
    lines = (ROOT / ".env.example").read_text().splitlines()
    listed = dict(line[2:].split("=", 1) for line in lines if line.startswith("# GLM_"))
    wanted = {
        variable(name): "" if name in ("home", "cache") else show(item.default)
        for name, item in table().items()
    }
    assert listed == wanted


def test_a_seed_is_a_number_that_torch_can_hold():
    assert parse("seed", str(2**63 - 1), "option") == 2**63 - 1
    with pytest.raises(ConfigError, match="--seed is 9223372036854775808") as caught:
        parse("seed", str(2**63), "option")
    assert caught.value.hint == "it must be at most 9223372036854775807"
