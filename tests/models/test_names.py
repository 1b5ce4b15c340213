"""What a name can mean."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from huggingface_hub import constants

from glmcli.config import Settings
from glmcli.config.models import Cache, ModelOptions
from glmcli.engines import ENGINES
from glmcli.errors import ModelError
from glmcli.models.names import ELSEWHERE, Place, folder_line, place_of


@pytest.fixture
def options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModelOptions:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.chdir(tmp_path)
    return ModelOptions(cache=Cache(tmp_path / "cache"))


def refused(name: str, options: ModelOptions) -> ModelError:
    with pytest.raises(ModelError) as caught:
        place_of(name, options)
    error = caught.value
    assert "\n" not in error.message and "\n" not in error.hint and error.hint
    return error


def test_a_folder_is_called_by_its_last_part(tmp_path: Path, options: ModelOptions):
    folder = tmp_path / "models" / "glm-4"
    folder.mkdir(parents=True)
    assert place_of(str(folder), options) == Place("glm-4", folder)
    assert place_of("models/glm-4", options) == Place("glm-4", Path("models/glm-4"))
    assert place_of(f"{folder}/.", options).name == "glm-4"


def test_the_home_folder_can_be_abbreviated(
    tmp_path: Path, options: ModelOptions, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "mine").mkdir()
    assert place_of("~/mine", options).folder == tmp_path / "mine"


def test_a_built_in_name_is_not_the_folder_of_that_name(tmp_path: Path, options: ModelOptions):
    (tmp_path / "smollm2").mkdir()
    assert place_of("smollm2", options) == Place("smollm2", None)
    assert place_of("./smollm2", options).folder == Path("smollm2")


def test_a_folder_in_the_cache_has_a_name(options: ModelOptions):
    folder = options.cache.models / "mine"
    folder.mkdir(parents=True)
    assert place_of("mine", options) == Place("mine", folder)


def test_a_hub_id_may_not_be_here_yet(options: ModelOptions):
    assert place_of("org/name@v1", options) == Place("name", None, "org/name@v1")


def test_a_folder_comes_before_the_hub_id_of_that_name(tmp_path: Path, options: ModelOptions):
    (tmp_path / "org" / "name").mkdir(parents=True)
    assert not place_of("org/name", options).hub_id


def test_a_hub_id_that_was_not_typed_is_not_the_folder_of_that_name(
    tmp_path: Path, options: ModelOptions
):
    (tmp_path / "org" / "name").mkdir(parents=True)
    kept = replace(options, untyped_model="org/name")
    error = refused("org/name", kept)
    assert "org/name is a hub id in your settings, and a folder here" in error.message
    assert "use --model ./org/name for the folder" in error.hint
    assert place_of("./org/name", kept).folder == Path("org/name")
    assert place_of("org/other", kept).hub_id == "org/other"


def test_a_word_that_was_not_typed_is_the_model_of_the_cache(tmp_path: Path, options: ModelOptions):
    (tmp_path / "mine").mkdir()
    untyped = replace(options, untyped_model="mine")
    error = refused("mine", untyped)
    assert error.message == "mine is a model in your settings, and a folder here"
    assert "use --model ./mine for the folder" in error.hint
    kept = options.cache.models / "mine"
    kept.mkdir(parents=True)
    assert place_of("mine", untyped) == Place("mine", kept)
    assert place_of("mine", options).folder == Path("mine")


def test_a_file_hides_no_model_of_the_cache(tmp_path: Path, options: ModelOptions):
    kept = options.cache.models / "mine"
    kept.mkdir(parents=True)
    (tmp_path / "mine").touch()
    assert place_of("mine", options).folder == kept


def test_settings_may_name_a_folder_as_one(tmp_path: Path, options: ModelOptions):
    (tmp_path / "mine").mkdir()
    for name in ("./mine", f"../{tmp_path.name}/mine", str(tmp_path / "mine"), "."):
        assert place_of(name, replace(options, untyped_model=name)).folder == Path(name)


@pytest.mark.parametrize("name", ["./mine", "../here/mine", "mine", "a/b/c", "org/name", "."])
@pytest.mark.parametrize("engine", ["", "local:"])
def test_a_conversation_names_no_folder_by_where_one_is(
    name: str, engine: str, tmp_path: Path, options: ModelOptions, monkeypatch: pytest.MonkeyPatch
):
    here = tmp_path / "here"
    (here / name).mkdir(parents=True)
    monkeypatch.chdir(here)
    resumed = replace(options, untyped_model=engine + name, is_resumed=True)
    error = refused(name, resumed)
    assert error.message == f"the conversation was with {name}, and there is such a folder here"
    assert f"use --model {name if name[0] == '.' else './' + name} for" in error.hint
    assert place_of(str(here / name), replace(resumed, untyped_model=str(here / name)))


@pytest.mark.parametrize("source", ["environment", ".env", "settings file", "the conversation"])
def test_only_a_model_of_the_command_line_is_typed(source: str):
    made = Settings(model="org/name", sources={"model": source})
    assert made.model_options.untyped_model == "org/name"
    assert made.model_options.is_resumed == (source == "the conversation")
    typed = Settings(model="org/name", sources={"model": "option"})
    assert not typed.model_options.untyped_model


@pytest.mark.parametrize("name", ["/no/such", "./no", "../no", "~/no", "no/", "a/b/c"])
def test_a_path_to_nothing_is_not_a_hub_id(name: str, options: ModelOptions):
    assert "there is no folder" in refused(name, options).message


def test_a_file_where_no_model_lies_is_not_answered_with_its_folder(
    tmp_path: Path, options: ModelOptions
):
    (tmp_path / "passwd").touch()
    assert "a model is a folder with config.json" in refused("./passwd", options).hint
    (tmp_path / "config.json").touch()
    assert str(tmp_path) in refused(str(tmp_path / "passwd"), options).hint


def test_a_file_is_refused_where_a_folder_is_needed(tmp_path: Path, options: ModelOptions):
    (tmp_path / "model.safetensors").touch()
    assert str(tmp_path) in refused(str(tmp_path / "model.safetensors"), options).hint
    (tmp_path / "x.gguf").touch()
    assert "--model gguf:" in refused(str(tmp_path / "x.gguf"), options).hint


def test_an_unknown_word_suggests_the_nearest(options: ModelOptions):
    assert "did you mean smollm2?" in refused("SmolLM", options).hint
    (options.cache.models / "my-glm-tuned").mkdir(parents=True)
    assert "did you mean my-glm-tuned?" in refused("my-glm-tune", options).hint
    assert "did you mean" not in refused("xyz", options).hint


@pytest.mark.parametrize(
    ("name", "message", "hint"),
    [
        ("echo", "there is no model called 'echo'", "did you mean echo:?"),
        ("openai", "there is no model called 'openai'", "did you mean openai:?"),
        ("OPENAI:x", "there is no engine called 'OPENAI'", "did you mean openai:x?"),
        ("opnai:org/x", "there is no engine called 'opnai'", "did you mean openai:org/x?"),
        ("foo:bar", "there is no engine called 'foo'", "openai:, fastchat:, gguf: and echo:"),
        (
            "http://127.0.0.1:9",
            "http://127.0.0.1:9 is an address, not a model",
            "--model openai: --base-url http://127.0.0.1:9",
        ),
        ("HTTPS://a.test/v1/", "HTTPS://a.test/v1/ is an address, not a model", "openai:"),
        ("work.gguf", "there is no file work.gguf", "glm models list"),
        ("./a/work.GGUF", "there is no file ./a/work.GGUF", "glm models list"),
        ("gpt-4o", "there is no model called 'gpt-4o'", "openai:gpt-4o"),
        ("claude-x", "there is no model called 'claude-x'", "openai:claude-x"),
        (
            "ollama",
            "there is no model called 'ollama'",
            "openai: --base-url http://127.0.0.1:11434",
        ),
        ("gpt4all", "there is no model called 'gpt4all'", "a hub id (org/name)"),
        ("gpt-oss-20b", "there is no model called 'gpt-oss-20b'", "a hub id (org/name)"),
        ("gpt-2", "there is no model called 'gpt-2'", "a hub id (org/name)"),
        ("nothere", "there is no model called 'nothere'", "openai:, fastchat: or echo:"),
    ],
)
def test_what_is_nearly_an_engine_an_address_or_a_file_says_so(
    name: str, message: str, hint: str, options: ModelOptions
):
    error = refused(name, options)
    assert error.message == message
    assert hint in error.hint


@pytest.mark.parametrize(
    "address",
    [
        "https://huggingface.co/{}",
        "http://www.huggingface.co/{}/",
        "HTTPS://HuggingFace.co/{}",
        "huggingface.co/{}",
        "hf.co/{}",
        "https://hf-mirror.com/{}/tree/main",
        "https://huggingface.co/{}/blob/main/config.json",
        "https://huggingface.co/{}.git",
        "https://huggingface.co/{}?library=transformers#top",
        "https://modelscope.cn/models/{}",
        "https://www.modelscope.cn/models/{}/summary",
        "https://modelscope.cn/models/{}/files",
        "hf://{}",
        "hf://{}/",
        "huggingface.co/models/{}",
        "ms://{}",
    ],
)
def test_a_page_of_a_hub_leads_to_its_model_and_to_no_server(address: str, options: ModelOptions):
    error = refused(address.format("zai-org/GLM-4-9B-0414"), options)
    assert error.hint == "use the model's hub id: --model zai-org/GLM-4-9B-0414"


def test_a_page_of_a_revision_leads_to_it(options: ModelOptions):
    error = refused("https://huggingface.co/org/name/tree/v1.0", options)
    assert error.hint == "use the model's hub id: --model org/name@v1.0"


@pytest.mark.parametrize(
    "page",
    [
        "https://huggingface.co",
        "https://modelscope.cn/datasets/org/name",
        "https://huggingface.co/",
        "https://huggingface.co/gpt2",
        "https://huggingface.co/datasets/org/name",
        "https://huggingface.co/spaces/org/name",
        "https://huggingface.co/org/name/discussions/3",
        "hf://",
    ],
)
def test_another_page_of_a_hub_is_not_called_a_server(page: str, options: ModelOptions):
    assert refused(page, options).hint == "use the model's hub id: --model ORG/NAME"


@pytest.mark.parametrize("name", ["https://huggingface.co.test/a/b", "https://a.test/hf.co/a/b"])
def test_an_address_that_only_looks_like_a_hub_is_a_server(name: str, options: ModelOptions):
    assert "--model openai: --base-url" in refused(name, options).hint


@pytest.mark.parametrize("name", ["echo:", "openai:x", "openai:", "fastchat:org/x"])
def test_a_model_of_an_engine_elsewhere_is_not_looked_for_here(name: str, options: ModelOptions):
    error = refused(name, options)
    assert error.message == f"{name!r} is no model on this machine"
    assert "model files here" in error.hint


def test_the_engines_that_hints_name_are_those_that_there_are():
    assert {*ELSEWHERE, "local"} == {*ENGINES}


def test_a_hub_id_of_an_organisation_that_is_called_like_an_engine_is_one(options: ModelOptions):
    assert place_of("openai/x", options).hub_id == "openai/x"


@pytest.mark.parametrize("name", ["echo", "foo:bar", "work.gguf"])
def test_a_folder_with_such_a_name_is_a_model(tmp_path: Path, name: str, options: ModelOptions):
    (tmp_path / name).mkdir()
    assert place_of(name, options).folder


@pytest.mark.parametrize("name", ["", "  ", "a\0b", "x" * 5000, "~nobody-at-all/x", "模型", "a b"])
def test_no_word_breaks_it(name: str, options: ModelOptions):
    refused(name, options)


def test_a_name_that_is_a_folder_and_could_be_a_model_elsewhere_is_told(
    tmp_path: Path, options: ModelOptions
):
    for name in ("org/name", "mine", "plain"):
        (tmp_path / name).mkdir(parents=True)
    (options.cache.models / "mine").mkdir(parents=True)
    for name in ("org/name", "mine"):
        said = f"{name} is taken as the folder here, not as the model of that name"
        assert folder_line(name, options) == said
        assert folder_line(f"./{name}", options) == folder_line(str(tmp_path / name), options) == ""
    assert folder_line("plain", options) == ""


def test_where_the_link_of_a_model_leads_is_told(tmp_path: Path, options: ModelOptions):
    (tmp_path / "far").mkdir()
    (tmp_path / "org").mkdir()
    far = (tmp_path / "far").resolve()
    for name in ("org/name", "mine"):
        (tmp_path / name).symlink_to(far)
    said = f"org/name is taken as the folder here, a link to {far}, not as the model of that name"
    assert folder_line("org/name", options) == said
    assert folder_line("./org/name", options) == f"org/name is a link to {far}"
    assert folder_line("mine", options) == f"mine is a link to {far}"
    whole = str(tmp_path / "mine")
    assert folder_line(whole, options) == f"{whole} is a link to {far}"
    assert folder_line(whole, replace(options, untyped_model=whole)) == ""
    assert folder_line("./mine", replace(options, untyped_model="./mine"))


def test_a_model_that_is_no_folder_of_the_users_is_not_told_of(options: ModelOptions):
    (options.cache.models / "mine").mkdir(parents=True)
    for name in ("smollm2", "mine", "org/name"):
        assert folder_line(name, options) == ""


@pytest.mark.parametrize(
    "words", [("ask", "-q", "hi", "-m"), ("chat", "-q", "hi", "-m"), ("bench", "-m")]
)
def test_a_clone_that_has_a_folder_called_as_a_hub_id_is_noticed(
    glm, tmp_path: Path, words: tuple[str, ...]
):
    (tmp_path / "evil").mkdir()
    (tmp_path / "zai-org").mkdir()
    (tmp_path / "zai-org" / "GLM-4").symlink_to(tmp_path / "evil")
    (tmp_path / "ad").symlink_to(tmp_path / "evil")
    done = glm(*words, "zai-org/GLM-4", "--adapter", "ad")
    assert done.code and done.err_lines[:2] == [
        f"zai-org/GLM-4 is taken as the folder here, a link to {tmp_path}/evil, "
        "not as the model of that name",
        f"ad is a link to {tmp_path}/evil",
    ]
