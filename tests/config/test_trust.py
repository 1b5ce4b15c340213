"""What the files of a working folder decide, and what only a person who trusts it lets them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from glmcli.cli.first import FIRST_START
from glmcli.cli.settings import setting_lines
from glmcli.config import load_settings
from glmcli.config.known import hub_cache, is_known_model
from glmcli.config.settings import Settings, setting_fields, variable
from glmcli.config.trust import decide, forget, load_decisions
from glmcli.errors import ConfigError, ModelError, UsageError
from tests.support.term import Term

POWERFUL = (
    "model",
    "base_url",
    "api_key",
    "template",
    "home",
    "cache",
    "trust_remote_code",
    "keys",
)
COMMIT = "0123456789abcdef"


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A folder that somebody else filled."""
    folder = tmp_path / "clone"
    for name in ("evil", "zai-org/chatglm3-6b", "h"):
        (folder / name).mkdir(parents=True)
        (folder / name / "config.json").write_text("{}")
        (folder / name / "model.safetensors").touch()
    toml = 'base_url = "http://evil.test"\napi_key = "x"\ntrust_remote_code = true\n'
    (folder / "h" / "config.toml").write_text(f'{toml}[keys]\n"evil.test" = "x"\n')
    (folder / "h" / "config.toml").chmod(0o600)
    return folder


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """An environment with models in the hub's cache: whole, without weights, in the clone too."""
    hub = tmp_path / "hub"
    for repo, weights in (("org/whole", True), ("org/bare", False), ("zai-org/chatglm3-6b", True)):
        cached = hub / f"models--{repo.replace('/', '--')}"
        (cached / "snapshots" / COMMIT).mkdir(parents=True)
        (cached / "refs").mkdir()
        (cached / "refs" / "main").write_text(COMMIT)
        (cached / "snapshots" / COMMIT / "config.json").write_text("{}")
        if weights:
            (cached / "snapshots" / COMMIT / "model.safetensors").touch()
    return {"GLM_HOME": str(tmp_path / "home"), "HF_HUB_CACHE": str(hub), "SECRET": "sk-secret"}


def values(settings: Settings) -> dict[str, object]:
    """What no folder may decide."""
    return {name: getattr(settings, name) for name in POWERFUL} | {
        "system": settings.system.startswith("@"),
        "keeps less": settings.history,
        "uses more": settings.offline,
    }


WAYS = {
    "a folder": "GLM_MODEL=./evil",
    "a folder without its dot": "GLM_MODEL=evil",
    "a folder that looks like a hub id": "GLM_MODEL=zai-org/chatglm3-6b",
    "a folder and a revision": "GLM_MODEL=zai-org/chatglm3-6b@../../../../../clone/evil",
    "a folder from the root": "GLM_MODEL=/clone/evil",
    "a folder from home": "GLM_MODEL=~/evil",
    "the folder above": "GLM_MODEL=..",
    "a folder two above": "GLM_MODEL=a/../../evil",
    "the folder itself": "GLM_MODEL=.",
    "a path behind a built-in name": "GLM_MODEL=smollm2/../evil",
    "a snapshot elsewhere": f"GLM_MODEL=org/whole@../snapshots/{COMMIT}",
    "a path out of the cache": "GLM_MODEL=../whole",
    "a hub id that is not here": "GLM_MODEL=org/elsewhere",
    "a hub id without its weights": "GLM_MODEL=org/bare",
    "a revision that is not here": "GLM_MODEL=org/whole@dev",
    "a server": "GLM_MODEL=openai:m\nGLM_BASE_URL=http://evil.test",
    "a cluster": "GLM_MODEL=fastchat:\nGLM_BASE_URL=http://evil.test",
    "an engine": "GLM_MODEL=local:./evil",
    "an address": "GLM_BASE_URL=http://evil.test",
    "an address and a key": "GLM_BASE_URL=http://evil.test\nGLM_API_KEY=x",
    "a secret of the environment": "GLM_API_KEY=${SECRET}",
    "a secret as the prompt": "GLM_SYSTEM=@${SECRET}",
    "a file as the prompt": "GLM_SYSTEM=@/etc/passwd",
    "a file of the user": "GLM_SYSTEM='@~/.profile'",
    "a file in two lines": 'GLM_SYSTEM="@/etc\n/passwd"',
    "a file by its escape": r'GLM_SYSTEM="\n@x"' + "\nGLM_SYSTEM=@x",
    "a home": "GLM_HOME=./h",
    "a home and what it may": "GLM_HOME=h\nGLM_SEED=1",
    "a cache": "GLM_CACHE=./h",
    "a template": "GLM_TEMPLATE=evil",
    "code": "GLM_TRUST_REMOTE_CODE=on",
    "code by another word": "GLM_TRUST_REMOTE_CODE=TRUE",
    "code and a model": "GLM_TRUST_REMOTE_CODE=1\nGLM_MODEL=./evil",
    "more history": "GLM_HISTORY=on",
    "more network": "GLM_OFFLINE=off",
    "exported": "export GLM_BASE_URL=http://evil.test",
    "indented": "\t export\tGLM_BASE_URL = 'http://evil.test' # x",
    "behind a BOM": "\ufeffGLM_BASE_URL=http://evil.test",
    "other line ends": "A=1\rGLM_BASE_URL=http://evil.test\r\nGLM_CACHE=x\r",
    "twice": "GLM_SYSTEM=harmless\nGLM_SYSTEM=@/etc/passwd",
    "within a text of another": "A='\nGLM_BASE_URL=http://evil.test\n'",
    "behind a text that never ends": "A='\nGLM_BASE_URL=http://evil.test\n",
    "a key of a server": "GLM_KEYS=x\nkeys.evil=x\nGLM_KEYS__EVIL=x",
    "in small letters": "glm_base_url=http://evil.test\nGlm_Model=./evil",
    "what other programs hear": "HTTPS_PROXY=http://evil.test\nHF_HUB_CACHE=.\nHF_ENDPOINT=x\nHOME=.",
    "a value that is none": "GLM_BASE_URL=\0http://evil.test\nGLM_HISTORY=\0",
}


@pytest.mark.parametrize("way", WAYS)
def test_a_folder_that_nobody_trusts_decides_nothing_of_weight(way, clone, environ):
    Path(environ["GLM_HOME"]).mkdir()
    toml = 'history = false\noffline = true\nmodel = "mine"\n'
    (Path(environ["GLM_HOME"]) / "config.toml").write_text(toml)
    before = load_settings({}, environ=environ, folder=clone)
    (clone / ".env").write_text(WAYS[way], newline="")
    after = load_settings({}, environ=environ, folder=clone)
    assert values(after) == values(before)


def test_no_way_is_named_twice_and_there_are_enough():
    assert len(set(WAYS.values())) == len(WAYS) >= 25


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["", "export ", " \t", "A='\n", "#"]),
            st.sampled_from([variable(name) for name in setting_fields()] + ["GLM_KEYS", "PATH"]),
            st.sampled_from(["=", " = ", "='", '="', " "]),
            st.one_of(
                st.sampled_from(["on", "off", "@x", "./evil", "http://evil.test", "${SECRET}"]),
                st.text(max_size=8),
            ),
            st.sampled_from(["", "'", '"', " #"]),
        ),
        max_size=5,
    )
)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_dotenv_holds_no_powerful_setting_changes(clone, environ, lines):
    before = load_settings({}, environ=environ, folder=clone.parent / "nowhere")
    text = "\n".join("".join(parts) for parts in lines)
    (clone / ".env").write_text(text, errors="replace", newline="")
    try:
        after = load_settings({}, environ=environ, folder=clone)
    except ConfigError:
        return  # a malformed number, say
    want, got = values(before), values(after)
    want["keeps less"] = got["keeps less"]  # off is all that it can be made
    want["uses more"] = got["uses more"]  # and on
    assert got == want


def test_what_gives_nothing_away_is_taken_from_any_folder(clone, environ):
    (clone / ".env").write_text(
        "GLM_TEMPERATURE=0.5\nGLM_THINKING=hide\nGLM_MODEL=org/whole\nGLM_SYSTEM=${SECRET} text\n"
        "GLM_HISTORY=off\nGLM_OFFLINE=on\nGLM_DEVICE=cpu\n"
    )
    found = load_settings({}, environ=environ, folder=clone)
    assert (found.temperature, found.thinking, found.device) == (0.5, "hide", "cpu")
    assert (found.model, found.system) == ("org/whole", "${SECRET} text")
    assert (found.history, found.offline) == (False, True)
    assert found.ignored == {}


def test_every_setting_says_what_a_folder_may_make_of_it():
    rules = {name: item.metadata["near"] for name, item in setting_fields().items()}
    assert rules["trust_remote_code"] == "never"
    assert {name for name, rule in rules.items() if rule == "trusted"} == {
        *("adapter", "base_url", "api_key", "template", "home", "cache", "keep"),
    }


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("smollm2", True),
        ("org/whole", True),
        ("org/whole@main", True),
        (f"org/whole@{COMMIT}", True),
        ("org/whole@dev", False),
        ("org/bare", False),
        ("zai-org/chatglm3-6b", False),
        ("org--whole", False),
        ("models/org/whole", False),
        ("org/whole/", False),
        ("org/whole\n", False),
        (".org/whole", False),
    ],
)
def test_a_model_is_known_if_it_is_here_and_not_a_folder(name, known, clone, environ):
    assert is_known_model(name, clone, environ) is known


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"XDG_CACHE_HOME": "/c"},
        {"HF_HOME": "~/$X/h", "X": "y"},
        {"HUGGINGFACE_HUB_CACHE": "/old", "HF_HOME": "/h"},
        {"HF_HUB_CACHE": "/new", "HUGGINGFACE_HUB_CACHE": "/old"},
    ],
)
def test_the_cache_of_the_hub_is_where_its_client_has_it(environ, monkeypatch):
    for name in ("XDG_CACHE_HOME", "HF_HOME", "HUGGINGFACE_HUB_CACHE", "HF_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    code = "from huggingface_hub.constants import HF_HUB_CACHE; print(HF_HUB_CACHE)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert str(hub_cache(os.environ)) == done.stdout.strip()


def test_a_hub_id_of_the_users_own_settings_is_not_taken_for_a_folder(clone, monkeypatch):
    from glmcli.models.names import place_of

    monkeypatch.chdir(clone)
    name = "zai-org/chatglm3-6b"
    with pytest.raises(ModelError) as caught:
        place_of(name, Settings(model=name, sources={"model": "environment"}).model_options)
    assert caught.value.message == f"{name} is a hub id in your settings, and a folder here"
    assert f"--model ./{name}" in caught.value.hint
    typed = Settings(model=name, sources={"model": "option"}).model_options
    assert place_of(name, typed).folder == Path(name)


# The program as a whole, in a pipe.

SERVER = "GLM_MODEL=openai:m\nGLM_BASE_URL=http://user:secret@evil.test/v1\nGLM_API_KEY=sk-one\n"


NOT_TRUSTED = "of .env (not trusted: run glm config trust)"


def test_in_a_pipe_what_is_ignored_is_one_line(glm, tmp_path):
    (tmp_path / ".env").write_text("GLM_SYSTEM=@x\nGLM_MODEL=./evil\nGLM_TOP_K=1\n")
    done = glm("ask", "-q", "-m", "echo:", "hi")
    assert (done.out, done.code) == ("hi\n", 0)
    assert done.err_lines == [f"ignored: GLM_SYSTEM {NOT_TRUSTED}", "chosen by .env: GLM_TOP_K=1"]


def test_what_is_ignored_for_several_reasons_is_one_line(glm, tmp_path):
    (tmp_path / ".env").write_text("GLM_CACHE=c\nGLM_TRUST_REMOTE_CODE=on\n")
    done = glm("models", "show", "smollm2")
    assert done.err_lines == [
        "ignored: GLM_CACHE, GLM_TRUST_REMOTE_CODE (glm config show says why)"
    ]


def test_many_ignored_settings_make_one_short_line(glm, tmp_path):
    (tmp_path / ".env").write_text(
        "GLM_CACHE=c\nGLM_SYSTEM=@x\nGLM_API_KEY=x\nGLM_TRUST_REMOTE_CODE=on\n"
    )
    done = glm("chat", "-q", "-m", "echo:")
    assert done.err_lines == [
        "ignored: GLM_API_KEY, GLM_SYSTEM and 2 more (glm config show says why)"
    ]
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize(
    ("arguments", "err"),
    [
        (("ask", "-m", "echo:", "hi"), ""),
        (("bench", "echo:", "-n1", "--tokens=2", "--prompts=9"), ""),
        (("history", "list"), ""),
        (("models", "show", "smollm2"), ""),
        (("chat", "-m", "echo:"), "GLM_BASE_URL"),
    ],
)
def test_what_a_call_does_not_use_is_not_named(glm, tmp_path, arguments, err):
    (tmp_path / ".env").write_text(SERVER)
    done = glm(*arguments)
    assert done.code == 0
    assert ("ignored: " in done.err) is bool(err) and err in done.err


def test_local_models_are_listed_though_an_address_is_ignored(glm, tmp_path):
    (tmp_path / ".env").write_text("GLM_BASE_URL=http://evil.test\n")
    done = glm("models", "list")
    assert done.code == 0 and "smollm2" in done.out
    assert done.err_lines == [f"ignored: GLM_BASE_URL {NOT_TRUSTED}"]


@pytest.mark.parametrize(
    ("toml", "said"),
    [
        ('model = "echo:"\n[keys]\n"http://a" = "x"\n', "'http://a' is not a host"),
        ('model = "echo:"\n[keys]\na = 1\n', "the key of 'a' is not text"),
        ("model =\n", "Invalid value"),
        ('model = "echo:"\napi_key = "x"\n', "holds a key and others may read it"),
        (None, "is a pipe, not a file"),
    ],
)
def test_a_broken_config_toml_that_a_trusted_folder_chose_ends_the_command(
    glm, tmp_path, toml, said
):
    (tmp_path / ".env").write_text("GLM_HOME=./h\n")
    (tmp_path / "h").mkdir()
    path = tmp_path / "h" / "config.toml"
    if toml is None:
        os.mkfifo(path)
    else:
        path.write_text(toml)
        path.chmod(0o644 if "api_key" in toml else 0o600)
    env = {"GLM_HOME": "", "XDG_DATA_HOME": str(tmp_path / "data")}
    assert glm("config", "trust", **env).code == 0
    done = glm("ask", "hi", **env)
    assert (done.code, done.out) == (2, "")
    assert said in done.err_lines[0] and done.err_lines[1].startswith("hint: ")


def test_a_value_of_a_config_toml_that_a_folder_chose_has_its_path_as_source(glm, tmp_path):
    (tmp_path / ".env").write_text("GLM_HOME=./h\n")
    (tmp_path / "h").mkdir()
    toml = tmp_path / "h" / "config.toml"
    toml.write_text('model = "./evil"\nsystem = "Be rude"\n[keys]\na = "x"\n')
    toml.chmod(0o600)
    env = {"GLM_HOME": "", "XDG_DATA_HOME": str(tmp_path / "data")}
    glm("config", "trust", **env)
    rows = {row["name"]: row for row in json.loads(glm("config", "show", "--json", **env).out)}
    assert rows["GLM_SYSTEM"]["source"] == "h/config.toml"
    assert rows["GLM_MODEL"]["ignored"] == "'./evil' of h/config.toml (a .env chose that folder)"
    assert rows["[keys]"]["ignored"] == "'********' of h/config.toml (a folder never decides that)"
    done = glm("chat", "-m", "openai:m", "--base-url=http://127.0.0.1:9", **env)
    assert done.err_lines[:3] == [
        "ignored: [keys] of h/config.toml (a folder never decides that)",
        "chosen by .env: the history in h",
        'chosen by h/config.toml: the system prompt "Be rude"',
    ]


def test_a_conversation_in_a_home_that_a_folder_chose_chooses_neither_model_nor_settings(
    glm, tmp_path
):
    (tmp_path / ".env").write_text("GLM_HOME=./h\n")
    stored = ("ask", "-m", "echo:window=500", "--max-tokens", "1", "a b")
    env = {"GLM_HOME": "", "XDG_DATA_HOME": str(tmp_path / "data"), "GLM_OFFLINE": "on"}
    env["GLM_CACHE"] = str(tmp_path / "cache")
    glm("config", "trust", **env)
    said = "was with echo:window=500, which is not taken, since a .env chose its folder: -m"
    for command in ("ask", "chat"):
        glm(command, *stored[1:], GLM_HOME=str(tmp_path / "h"))
        done = glm(command, "-q", "-c", "again", **env)
        assert (done.out, done.code) == ("", 3)
        assert said in done.err
    glm(*stored, GLM_HOME=str(tmp_path / "h"))
    typed = glm("ask", "-c", "-m", "echo:window=500", "on and on", **env)
    assert typed.out == "on and on\n"
    assert typed.err.endswith(": 1 turn, without its settings, since a .env chose its folder\n")
    env["GLM_HOME"] = str(tmp_path / "h")
    own = glm("ask", "-c", "-m", "echo:", "--max-tokens", "1", "a b", **env)
    assert ": 2 turns, with its settings; " in own.err_lines[0]
    assert glm("ask", "-q", "-c", "on and on", **env).out == "on \n"


def test_a_dotenv_that_is_too_large_is_told(glm, tmp_path):
    (tmp_path / ".env").write_bytes(b"GLM_MODEL=echo:\n" + b"#" * 17_000_000)
    done = glm("ask", "-m", "echo:", "hi")
    assert (done.out, done.code) == ("hi\n", 0)
    assert done.err_lines == [
        ".env is too large: 17,000,016 bytes; 1,000,000 is the limit; nothing of it is used"
    ]


def test_a_dotenv_that_cannot_be_read_is_told_and_no_other_model_answers(glm, tmp_path):
    (tmp_path / ".env").write_text("GLM_MODEL=echo:\n", encoding="utf-16")
    done = glm("ask", "hi")
    assert (done.out, done.code) == ("", 2)
    assert done.err == "glm: .env is not UTF-8 but UTF-16\nhint: use --model, or correct the file\n"
    (tmp_path / ".env").unlink()
    (tmp_path / ".env").symlink_to(".env")
    done = glm("ask", "hi")
    assert (done.out, done.code) == ("", 2)
    assert done.err_lines[1] == "hint: use --model, or correct the file"
    done = glm("ask", "-q", "-m", "echo:", "hi")
    assert (done.out, done.code) == ("hi\n", 0)
    assert done.err.startswith(".env cannot be read: ") and "nothing of it is used" in done.err


@pytest.mark.parametrize(
    ("dotenv", "said"),
    [
        ("GLM_HISTORY=off", "GLM_HISTORY=off"),
        ("GLM_STOP=e", "GLM_STOP=e"),
        ("GLM_WINDOW=40\nGLM_TEMPERATURE=9", "GLM_WINDOW=40, GLM_TEMPERATURE=9.0"),
        ("GLM_SYSTEM=x\nGLM_OFFLINE=on", 'the system prompt "x", GLM_OFFLINE=on'),
    ],
)
def test_what_a_folder_chose_of_a_reply_is_said(glm, tmp_path, dotenv, said):
    (tmp_path / ".env").write_text(dotenv)
    assert glm("ask", "-q", "-m", "echo:", "hi").err == f"chosen by .env: {said}\n"


def test_that_a_folder_stores_what_the_user_does_not_is_said(glm, tmp_path):
    (tmp_path / "home").mkdir(exist_ok=True)
    (tmp_path / "home" / "config.toml").write_text("history = false\n")
    (tmp_path / ".env").write_text("GLM_HISTORY=on\n")
    glm("config", "trust")
    assert glm("ask", "-q", "-m", "echo:", "hi").err == "chosen by .env: GLM_HISTORY=on\n"


def test_a_broken_config_toml_is_told_before_a_folder_is_asked_about(clone, environ):
    home = Path(environ["GLM_HOME"])
    home.mkdir(exist_ok=True)
    (home / "config.toml").write_text("]")
    (clone / ".env").write_text("GLM_MODEL=./evil\n")
    with pytest.raises(ConfigError, match=r"config\.toml"):
        load_settings({}, environ=environ, folder=clone, decide=pytest.fail)


@pytest.mark.parametrize(
    ("dotenv", "arguments", "said", "hint"),
    [
        (
            SERVER,
            ("ask", "hi"),
            "the model openai:m and the server http://********@evil.test/v1",
            "",
        ),
        (SERVER, ("chat",), "the model openai:m", "--model and --base-url"),
        (SERVER, ("bench",), "the model openai:m", "--model"),
        ("GLM_MODEL=./evil", ("ask", "hi"), "the model ./evil", "use --model"),
        (
            "GLM_BASE_URL=http://evil.test",
            ("ask", "hi"),
            "the server http://evil.test",
            "--base-url",
        ),
        (SERVER, ("ask", "-m", "openai:m", "hi"), "the server", "use --base-url"),
    ],
)
def test_no_other_model_or_server_answers_in_place_of_one_that_is_ignored(
    glm, tmp_path, dotenv, arguments, said, hint
):
    (tmp_path / ".env").write_text(dotenv)
    done = glm(*arguments)
    assert (done.code, done.out, len(done.err_lines)) == (2, "", 2)
    assert done.err_lines[0].startswith(f"glm: .env chooses {said}")
    assert done.err_lines[0].endswith(", and is not trusted")
    assert done.err_lines[1].startswith("hint: glm config trust lets it choose; or use ")
    assert hint in done.err_lines[1]
    assert "secret" not in done.err and "sk-one" not in done.err


@pytest.mark.parametrize(
    ("arguments", "env"),
    [
        (("ask", "-m", "echo:", "hi"), {}),
        (("ask", "hi"), {"GLM_MODEL": "echo:"}),
        (("bench", "echo:", "-n1", "--tokens=2", "--prompts=9"), {}),
    ],
)
def test_what_is_more_trusted_answers(glm, tmp_path, arguments, env):
    (tmp_path / ".env").write_text(SERVER)
    done = glm(*arguments, **env)
    assert done.code == 0, done.err


def test_config_toml_of_the_user_is_more_trusted(glm, tmp_path):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "config.toml").write_text('model = "echo:"\n')
    (tmp_path / ".env").write_text("GLM_MODEL=./evil\n")
    done = glm("ask", "hi")
    assert (done.out, done.code) == ("hi\n", 0)
    assert done.err_lines == [f"ignored: GLM_MODEL {NOT_TRUSTED}"]


@pytest.mark.parametrize(
    "arguments",
    [("history", "list"), ("models", "show", "smollm2"), ("config", "path"), ("config", "show")],
)
def test_every_command_leaves_the_home_of_a_folder_alone(glm, tmp_path, arguments):
    (tmp_path / ".env").write_text("GLM_HOME=./stolen\n")
    done = glm(*arguments, GLM_HOME="", XDG_DATA_HOME=str(tmp_path / "data"))
    assert "stolen" not in done.out.replace("ignored: './stolen'", "")
    assert ("ignored: GLM_HOME of .env" in done.err) is (arguments != ("config", "show"))
    assert not (tmp_path / "stolen").exists()


@pytest.mark.parametrize("arguments", [("--help",), ("ask", "--help"), ("--version",)])
def test_help_says_nothing_of_the_folder(glm, tmp_path, arguments):
    (tmp_path / ".env").write_text(SERVER)
    assert (glm(*arguments).err, glm(*arguments).code) == ("", 0)


@pytest.mark.parametrize("value", ["{x}", "{", "}", "{0}", "%s"])
@pytest.mark.parametrize("name", ["GLM_TEMPERATURE", "GLM_DTYPE", "GLM_MODEL", "GLM_BASE_URL"])
def test_braces_in_a_value_are_shown_as_they_are(glm, tmp_path, name, value):
    (tmp_path / ".env").write_text(f"{name}={value}\n")
    shown = [glm("config", "show"), glm("config", "show", "--json"), glm("ask", "hi")]
    assert [each.code for each in shown] == [0, 0, 2]
    assert all("internal error" not in each.out + each.err for each in shown)
    assert value in shown[0].out
    assert value in shown[2].err


def test_what_cannot_be_parsed_is_no_value_and_cannot_be_trusted(glm, tmp_path):
    (tmp_path / ".env").write_bytes(b"GLM_MODEL=\xff\n")
    done = glm("config", "trust")
    assert (done.code, done.out) == (2, "")
    assert "line 1: GLM_MODEL cannot be parsed" in done.err
    asked = glm("ask", "hi")
    assert "line 1: GLM_MODEL cannot be parsed" in asked.err
    assert "ignored: '(line 1 cannot be parsed)' of .env" in glm("config", "show").out


@pytest.mark.parametrize(
    ("dotenv", "options", "said"),
    [
        (
            "GLM_MAX_TOKENS=1",
            (),
            "chosen by .env: GLM_MAX_TOKENS=1\ncut at the token limit, which .env sets\n",
        ),
        ("", ("--max-tokens", "1"), "cut at the token limit\n"),
        ("GLM_MAX_TOKENS=1", ("--max-tokens", "3"), ""),
    ],
)
def test_that_a_reply_was_cut_is_said_in_a_pipe_too(glm, tmp_path, dotenv, options, said):
    (tmp_path / ".env").write_text(dotenv)
    assert glm("ask", "-m", "echo:", *options, "a b c").err == said


def test_a_folder_is_trusted_for_its_content_and_no_other(glm, tmp_path):
    (tmp_path / ".env").write_text("GLM_MODEL=echo:\nGLM_API_KEY=sk-one\n")
    done = glm("config", "trust")
    assert done.out.splitlines() == [
        f"trusted, as it is now: {tmp_path}/.env",
        "  GLM_MODEL=echo:",
        "  GLM_API_KEY=********",
    ]
    kept = tmp_path / "home" / "trusted.json"
    assert kept.stat().st_mode & 0o777 == 0o600
    assert "sk-one" not in kept.read_text()
    done = glm("ask", "-q", "hi")
    assert (done.out, done.err) == ("hi\n", "chosen by .env: the model echo:\n")
    with (tmp_path / ".env").open("a") as file:
        file.write("# more\n")
    assert glm("ask", "hi").code == 2
    assert glm("config", "trusted").out == f"{tmp_path}/.env\tchanged\n"
    (tmp_path / ".env").write_text("GLM_MODEL=echo:\nGLM_API_KEY=sk-one\n")
    assert json.loads(glm("config", "trusted", "--json").out) == [
        {"path": f"{tmp_path}/.env", "state": "trusted"}
    ]
    assert glm("config", "untrust").out == f"not trusted: {tmp_path}/.env\n"
    assert glm("ask", "hi").code == 2
    done = glm("config", "untrust")
    assert (done.code, done.err_lines[0]) == (
        2,
        f"glm: nothing was decided about {tmp_path}/.env",
    )
    assert glm("config", "trusted").out == ""


def test_a_copy_of_a_trusted_dotenv_elsewhere_is_not_trusted(glm, tmp_path):
    for name in ("mine", "theirs"):
        (tmp_path / name).mkdir()
        (tmp_path / name / ".env").write_text("GLM_MODEL=echo:\n")
    (tmp_path / "way").symlink_to("mine")
    assert glm("config", "trust", "way").code == 0
    environ = {"GLM_HOME": str(tmp_path / "home")}
    models = {
        name: load_settings({}, environ=environ, folder=tmp_path / name).model
        for name in ("mine", "way", "theirs")
    }
    assert models == {"mine": "echo:", "way": "echo:", "theirs": "smollm2"}


@pytest.mark.parametrize("there", [".", "x"])
def test_a_dotenv_stands_for_its_folder(glm, tmp_path, there):
    (tmp_path / "x").mkdir()
    dotenv = tmp_path / there / ".env"
    dotenv.write_text("GLM_MODEL=echo:\n")
    for command in ("trust", "untrust"):
        done = glm("config", command, f"{there}/.env")
        assert (done.code, done.err) == (0, "")
        assert str(dotenv.resolve()) in done.out


def test_where_nothing_can_be_trusted_it_is_said_why(glm, tmp_path):
    done = glm("config", "trust", "nowhere")
    assert (done.code, done.err_lines) == (
        2,
        ["glm: there is no folder nowhere", "hint: check the path"],
    )
    hint = "hint: .env.example shows what can be set"
    done = glm("config", "trust")
    assert (done.code, done.err_lines) == (2, [f"glm: there is no .env in {tmp_path}", hint])
    (tmp_path / ".env").write_text("A=1\n")
    done = glm("config", "trust")
    assert (done.code, done.err_lines) == (2, ["glm: .env sets nothing for glm", hint])
    (tmp_path / ".env").write_text("GLM_SEED=1\n")
    done = glm("config", "trust")
    assert (done.code, done.out) == (0, f"{tmp_path}/.env needs no trust\n")
    assert glm("config", "trusted").out == ""
    assert glm("config", "untrust").err_lines[1] == "hint: glm config trust [FOLDER] decides"


def test_a_trusted_folder_still_runs_no_python_and_sends_no_key_of_the_user(glm, tmp_path):
    (tmp_path / ".env").write_text(f"{SERVER}GLM_TRUST_REMOTE_CODE=on\n")
    glm("config", "trust")
    rows = {row["name"]: row for row in json.loads(glm("config", "show", "--json").out)}
    assert rows["GLM_TRUST_REMOTE_CODE"] == {
        "name": "GLM_TRUST_REMOTE_CODE",
        "value": "off",
        "source": "default",
        "ignored": "'on' of .env (a folder never decides that)",
    }
    assert rows["GLM_BASE_URL"]["value"] == "http://********@evil.test/v1"
    assert rows["GLM_BASE_URL"]["source"] == ".env"


def test_config_show_says_what_was_ignored_and_why(glm, tmp_path):
    (tmp_path / ".env").write_text("GLM_API_KEY=sk-one\n")
    assert (f"GLM_API_KEY\t\tdefault; ignored: '********' {NOT_TRUSTED}\n") in glm(
        "config", "show"
    ).out
    (tmp_path / ".env").unlink()
    os.mkfifo(tmp_path / ".env")
    assert glm("config", "show").err == ".env is a pipe, not a file; nothing of it is used\n"


@pytest.mark.parametrize(
    "forged", ['{"folders": {PATH: {HASH: true}}}', "[" * 999, '{"folders": 1}']
)
def test_decisions_that_another_could_have_written_are_none(tmp_path, forged):
    dotenv, data = tmp_path / ".env", b"GLM_MODEL=echo:\n"
    load_decisions(tmp_path).with_answer(dotenv, data, trusted=True).save()
    kept = tmp_path / "trusted.json"
    assert load_decisions(tmp_path).about(dotenv, data) is True
    if "PATH" in forged:
        kept.chmod(0o644)
    else:
        kept.write_text(forged)
    assert load_decisions(tmp_path).about(dotenv, data) is None


def test_keeping_a_decision_follows_no_link(tmp_path):
    (tmp_path / "precious").write_text("mine")
    (tmp_path / "trusted.json").symlink_to("precious")
    load_decisions(tmp_path).with_answer(tmp_path / ".env", b"x", trusted=True).save()
    assert (tmp_path / "precious").read_text() == "mine"
    assert load_decisions(tmp_path).about(tmp_path / ".env", b"x") is True


def test_a_decision_that_cannot_be_kept_is_named(tmp_path):
    (tmp_path / "home").touch()
    with pytest.raises(ConfigError, match="what is trusted cannot be kept: ") as caught:
        decide(tmp_path / "home", tmp_path, b"x", print, trusted=True)
    assert "GLM_HOME" in caught.value.hint
    with pytest.raises(UsageError, match="nothing was decided about"):
        load_decisions(tmp_path).without(tmp_path / "other" / ".env")


def test_decisions_that_are_made_at_once_are_all_kept(tmp_path):
    folders = [tmp_path / str(n) for n in range(24)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda path: decide(tmp_path, path, b"x", print, trusted=True), folders))
        assert len(load_decisions(tmp_path).made) == 24
        list(pool.map(lambda path: forget(tmp_path, path, print), folders))
    assert load_decisions(tmp_path).made == {}


def test_what_is_shown_is_harmless_and_short():
    lines = setting_lines({"template": "http://a\x1b[2J\u202e\n  b" + "x" * 300, "model": ""})
    assert lines[0].startswith("  GLM_TEMPLATE=http://a␛[2J<U+202E>␊<2 blanks>bxx")
    assert lines[0].endswith("xx… (317 characters)")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("openai:good\n\n\n" + " " * 5000 + "x", "openai:good␊␊␊<5,000 blanks>x"),
        ("good ", "good<1 blank>"),
        ("  good name", "<2 blanks>good name"),
        ("a\tb\u200b\u3000\u00a0c", "a␉b<U+200B><U+3000><U+00A0>c"),
        ("中文 模型", "中文 模型"),
        ("x" * 150_000, "x" * 200 + "… (150,000 characters)"),
    ],
)
def test_a_value_is_shown_as_it_is_blanks_and_line_ends_too(value, shown):
    assert setting_lines({"model": value}) == [f"  GLM_MODEL={shown}"]


# On a terminal.

QUESTION = "Trust it, as it is now? [y/N]"


def asked(home: Path, *arguments: str) -> Term:
    (home / FIRST_START).touch()
    return Term(*(arguments or ("chat", "-m", "echo:")), home=home)


def leave(term: Term) -> int:
    """Leave the chat; its exit code."""
    term.at_prompt().type("\x04")
    return term.ended()


@pytest.mark.pty
def test_enter_means_no_and_is_remembered_until_the_content_changes(tmp_path):
    (tmp_path / ".env").write_text("GLM_CACHE=./c\nGLM_API_KEY=sk-one\n")
    with asked(tmp_path) as term:
        term.see("GLM_CACHE=./c").see(QUESTION).type("\r")
        assert f"{tmp_path}/.env sets what" in term.text().replace("\n", "")
        assert leave(term) == 0
        assert "ignored: GLM_API_KEY, GLM_CACHE" in term.text()
        assert "sk-one" not in term.text()
    with asked(tmp_path) as term:
        assert leave(term) == 0
        assert QUESTION not in term.text() and "ignored: GLM_API_KEY, GLM_CACHE" in term.text()
    (tmp_path / ".env").write_text("GLM_CACHE=./d\n")
    with asked(tmp_path) as term:
        term.see(QUESTION).type("y\r")
        assert leave(term) == 0
        assert "chosen by .env: the cache in d" in term.text()
    with asked(tmp_path) as term:
        assert leave(term) == 0
        assert QUESTION not in term.text()


@pytest.mark.pty
def test_text_typed_before_the_question_does_not_answer_it(tmp_path):
    (tmp_path / ".env").write_text("GLM_MODEL=echo:\n")
    for keys in ("y\r", "y\rhello\r", "yes"):
        with asked(tmp_path, "chat") as term:
            term.type(keys).see("typed before this question").see(QUESTION)
            assert term.prompt_row() == QUESTION
            term.type("\x04").see("ignored: GLM_MODEL").at_prompt()
    assert load_decisions(tmp_path).made == {}
    with asked(tmp_path, "chat") as term:
        term.type("y\r").see("typed before this question").see(QUESTION).type("yes\r")
        term.see("chosen by .env").at_prompt()


@pytest.mark.pty
@pytest.mark.parametrize(
    "paste",
    [
        "\x1b[200~y\n\x1b[201~",
        "\x1b[200~\x7f\x15y\r\x1b[201~",
        "\x1b[200~y\x1b[201~",
        "\x1b[200~no\x1b[201~\ry\r",
        "y\rhello\r",
    ],
)
def test_a_paste_does_not_answer_the_question(tmp_path, paste):
    (tmp_path / ".env").write_text("GLM_MODEL=echo:\n")
    with asked(tmp_path, "chat") as term:
        term.see(QUESTION).type(paste).see("a paste does not answer it")
        term.until(lambda t: t.prompt_row() == QUESTION, "the question again")
        assert "\x1b[?2004h" in term.raw and load_decisions(tmp_path).made == {}
        term.type("nx\x7fo\x15y\r").see("chosen by .env: the model echo:").at_prompt()


@pytest.mark.pty
def test_the_question_is_shown_again_after_it_was_suspended(tmp_path):
    (tmp_path / ".env").write_text("GLM_MODEL=echo:\n")
    with Term("ask", "hi", home=tmp_path, shell=True) as term:
        term.at_shell().type(term.command_line + "\r").see(QUESTION).type("ye").see(
            f"{QUESTION} ye"
        )
        term.type("\x1a").see("Stopped").at_shell().type("fg\r")
        term.until(lambda t: t.prompt_row() == f"{QUESTION} ye", "the question, and the answer")
        assert term.text().count("GLM_MODEL=echo:") == 2
        term.type("s\r").see("chosen by .env: the model echo:").see("\nhi\n").at_shell()


@pytest.mark.pty
def test_a_word_that_is_neither_yes_nor_no_is_no_answer(tmp_path):
    (tmp_path / ".env").write_text("GLM_MODEL=echo:\n")
    with asked(tmp_path, "ask", "hi") as term:
        for times, word in enumerate(("maybe", "yes please", "\u4f60\u597d"), 1):
            term.type(f"{word}\r") if times > 1 else term.see(QUESTION).type(f"{word}\r")
            term.until(lambda t, n=times: t.text().count("type y or n") == n, "what may be typed")
            term.until(lambda t: t.prompt_row() == QUESTION, "the question again")
            assert load_decisions(tmp_path).made == {}
        term.type("NO\r").see("ignored: GLM_MODEL")


@pytest.mark.pty
@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_at_the_question_leaves_the_terminal_as_it_was(tmp_path, signum):
    (tmp_path / ".env").write_text("GLM_MODEL=echo:\n")
    with asked(tmp_path, "chat") as term:
        term.see(QUESTION)
        os.kill(term.process.pid, signum)
        assert term.ended() == -signum
        assert term.has_lines() and term.raw.rstrip().endswith(("\x1b[?2004l\x1b[?25h", "\n"))


@pytest.mark.pty
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("ask",), "there is no prompt"),
        (("ask", "--temperature", "x", "hi"), "--temperature is 'x', not a number"),
        (("ask", "--no-such", "hi"), "No such option"),
        (("chat", "--threads", "none"), "--threads is 'none'"),
    ],
)
def test_a_usage_error_comes_before_any_question(tmp_path, arguments, said):
    (tmp_path / ".env").write_text("GLM_MODEL=echo:\n")
    with asked(tmp_path, *arguments) as term:
        assert term.see(said).ended() == 2
        assert QUESTION not in term.text()


@pytest.mark.pty
def test_lines_before_the_first_prompt_are_broken_between_words(tmp_path):
    (tmp_path / ".env").write_text("GLM_CACHE=./c\nGLM_API_KEY=sk-one\n")
    with Term("chat", "-m", "echo:", home=tmp_path, cols=60) as term:
        term.see(QUESTION).type("n\r").at_prompt()
        assert "(not trusted: run\nglm config trust)" in term.text()


@pytest.mark.pty
def test_ctrl_c_at_the_question_ends_by_the_signal_and_decides_nothing(tmp_path):
    (tmp_path / ".env").write_text("GLM_MODEL=echo:\n")
    with asked(tmp_path, "chat") as term:
        term.see(QUESTION).type("\x03")
        assert term.ended() == -signal.SIGINT
    with asked(tmp_path, "ask", "hi") as term:
        term.see(QUESTION).type("\x04").see("ignored: GLM_MODEL")
    with asked(tmp_path, "ask", "hi") as term:
        term.see(QUESTION).type("yes\r")
        assert term.ended() == 0


@pytest.mark.pty
def test_a_folder_that_is_trusted_on_a_terminal_chats(tmp_path):
    (tmp_path / ".env").write_text("GLM_MODEL=echo:\n")
    with asked(tmp_path, "chat") as term:
        term.see(QUESTION).type("y\r").see("chosen by .env: the model echo:").at_prompt()
        term.type("a b c\r").see("3 tokens")


def test_a_script_gets_no_other_model_where_the_env_is_too_large_to_be_read(glm, tmp_path):
    (tmp_path / ".env").write_text("GLM_MODEL=./evil\n" + "# padding\n" * 150_000)
    done = glm("ask", "hi")
    assert done.code == 2
    assert "is too large" in done.err_lines[0]
    assert "use --model" in done.err_lines[1]
    assert glm("ask", "-m", "echo:", "hi").out == "hi\n"
