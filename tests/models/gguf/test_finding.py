"""Where GGUF files are found on this machine, and by which names."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from glmcli.config import known, load_settings
from glmcli.config.models import Cache, ModelOptions
from glmcli.engines import split_name
from glmcli.errors import ConfigError, ModelError
from glmcli.models.builtin import built_in_gguf
from glmcli.models.gguf import is_gguf
from glmcli.models.gguf.finding import all_ggufs, find_gguf, lasting_gguf
from glmcli.models.library.listing import describe_all
from glmcli.models.library.removing import remove_model
from glmcli.models.library.showing import describe
from tests.support.gguf_files import write_chat

COMMIT = "0123456789abcdef0123456789abcdef01234567"
HEX = "ab" * 32


@pytest.fixture
def options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModelOptions:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.chdir(tmp_path)
    return ModelOptions(cache=Cache(tmp_path / "cache"))


@pytest.fixture
def hub(tmp_path: Path, options: ModelOptions) -> Path:
    """A repository in the hub's cache with two files, and one for images."""
    repo = tmp_path / "hub" / "models--org--tiny-GGUF"
    (repo / "refs").mkdir(parents=True)
    (repo / "refs" / "main").write_text(COMMIT)
    snapshot = repo / "snapshots" / COMMIT
    for name in ("tiny-Q8_0.gguf", "tiny-Q4_K_M.gguf", "mmproj-F16.gguf"):
        write_chat(snapshot / name)
    return snapshot


@pytest.fixture
def ollama(tmp_path: Path, options: ModelOptions, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What Ollama keeps: a manifest that names a blob."""
    root = tmp_path / "ollama"
    monkeypatch.setenv("OLLAMA_MODELS", str(root))
    write_chat(root / "blobs" / f"sha256-{HEX}")
    for place in ("registry.ollama.ai/library/tiny/1b", "hf.co/org/other/Q4_0"):
        manifest = root / "manifests" / place
        manifest.parent.mkdir(parents=True)
        layers = [
            {"mediaType": "application/vnd.ollama.image.license", "digest": "sha256:" + "0" * 64},
            {"mediaType": "application/vnd.ollama.image.model", "digest": f"sha256:{HEX}"},
        ]
        manifest.write_text(json.dumps({"schemaVersion": 2, "layers": layers}))
    return root


@pytest.fixture
def lm_studio(tmp_path: Path, options: ModelOptions, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(known, "LM_STUDIO", (str(tmp_path / "studio"),))
    return write_chat(tmp_path / "studio" / "maker" / "tiny" / "tiny-Q4_0.gguf", name="Other")


def refused(name: str, options: ModelOptions) -> ModelError:
    with pytest.raises(ModelError) as caught:
        find_gguf(name, options)
    return caught.value


def test_a_file_and_a_folder_with_one_are_models_by_their_paths(
    tmp_path: Path, options: ModelOptions
):
    path = write_chat(tmp_path / "here" / "tiny.gguf")
    for name in (str(path), "here/tiny.gguf", "./here", "./here/"):
        assert split_name(name) == ("gguf", name)
        assert find_gguf(name, options).path.samefile(path)


def test_a_folder_with_a_checkpoint_stays_one(tmp_path: Path, options: ModelOptions):
    write_chat(tmp_path / "here" / "tiny.gguf").with_name("config.json").write_text("{}")
    assert split_name("./here")[0] == "local"


def test_of_a_folder_with_several_one_has_to_be_named(tmp_path: Path, options: ModelOptions):
    for name in ("a.gguf", "b.gguf", "mmproj-a.gguf"):
        write_chat(tmp_path / "here" / name)
    error = refused("./here", options)
    assert "a.gguf, b.gguf" in error.message
    assert "here/a.gguf" in error.hint


def test_a_prefix_is_an_engine_only_if_it_is_one_of_the_table(options: ModelOptions):
    assert split_name("org/name:Q4_K_M") == ("gguf", "org/name:Q4_K_M")
    assert split_name("hf.co/org/name:Q4_K_M")[0] == "gguf"
    assert split_name("gguf:anything")[1] == "anything"
    assert split_name("openai:org/name:free") == ("openai", "org/name:free")
    assert split_name("foo:bar") == ("local", "foo:bar")


def test_the_hubs_cache_has_files_by_repository_and_bits(hub: Path, options: ModelOptions):
    for name in ("org/tiny-GGUF:Q8_0", "hf.co/org/tiny-GGUF:q8_0", "gguf:org/tiny-GGUF:Q8_0"):
        assert find_gguf(name, options).path == hub / "tiny-Q8_0.gguf"
    assert find_gguf("gguf:org/tiny-GGUF", options).path == hub / "tiny-Q4_K_M.gguf"
    error = refused("org/tiny-GGUF:Q2_K", options)
    assert "not on this machine" in error.message
    assert "hf download org/tiny-GGUF" in error.hint


def test_ollamas_models_have_their_own_names(ollama: Path, options: ModelOptions):
    blob = ollama / "blobs" / f"sha256-{HEX}"
    for name in ("tiny:1b", "library/tiny:1b", "gguf:tiny:1b", "hf.co/org/other:Q4_0"):
        assert split_name(name)[0] == "gguf"
        assert find_gguf(name, options).path == blob
    assert not is_gguf("tiny:7b")
    assert not is_gguf("../../tiny:1b")


@pytest.mark.parametrize(
    "manifest",
    [
        "",
        "[]",
        '{"layers": 3}',
        '{"layers": [{"mediaType": "application/vnd.ollama.image.model", "digest": 3}]}',
        '{"layers": [{"mediaType": "application/vnd.ollama.image.model",'
        ' "digest": "sha256:../../../etc/passwd"}]}',
        "[" * 100_000,
    ],
)
def test_a_manifest_that_leads_nowhere_is_no_model(
    manifest: str, ollama: Path, options: ModelOptions
):
    (ollama / "manifests/registry.ollama.ai/library/tiny/1b").write_text(manifest)
    assert "tiny:1b" in refused("tiny:1b", options).message
    assert [found.name for found in all_ggufs(options)] == ["hf.co/org/other:Q4_0"]


def test_lm_studios_models_are_found_by_their_places(lm_studio: Path, options: ModelOptions):
    assert find_gguf("maker/tiny/tiny-Q4_0.gguf", options).path == lm_studio
    assert "there is no file" in refused("../studio/maker/x.gguf", options).message


def test_all_are_listed_with_source_and_bits(
    hub: Path, ollama: Path, lm_studio: Path, options: ModelOptions
):
    found = {model.name: model for model in describe_all(options)}
    assert {name: model.source for name, model in found.items() if model.source} == {
        "org/tiny-GGUF:Q4_K_M": "hub",
        "org/tiny-GGUF:Q8_0": "hub",
        "hf.co/org/other:Q4_0": "Ollama",
        "maker/tiny/tiny-Q4_0.gguf": "LM Studio",
    }
    for name, model in found.items():
        if model.source:
            assert (model.bits, model.family, model.window) == ("F32", "llama", 512)
            assert find_gguf(name, options).path == Path(model.path)


def test_a_model_is_shown_from_its_header_alone(tmp_path: Path, options: ModelOptions):
    path = write_chat(tmp_path / "tiny.gguf")
    found = describe("tiny.gguf", options)
    assert (found.model.bits, found.layers, found.missing) == ("F32", 2, ())
    assert found.cache_bytes == 256 * 512
    assert found.memory_bytes == {"F32": path.stat().st_size + 256 * 512}
    assert (found.fits, found.auto) == (("F32",), "")  # it is as it is


def test_only_our_own_file_is_removed(ollama: Path, options: ModelOptions):
    with pytest.raises(ModelError, match="not a file of this program"):
        remove_model("tiny:1b", options)
    path = write_chat(built_in_gguf(options.cache))
    size = path.stat().st_size
    assert remove_model("gguf:smollm2", options) == size
    assert not path.exists()


def test_a_damaged_file_is_listed_without_what_it_does_not_say(hub: Path, options: ModelOptions):
    (hub / "tiny-Q8_0.gguf").write_bytes(b"GGUF")
    (model,) = [each for each in describe_all(options) if each.name.endswith("Q8_0")]
    assert (model.family, model.bits, model.size_bytes) == ("", "", None)


@pytest.mark.parametrize("name", ["tiny.gguf", "org/tiny.gguf", "gguf:tiny.gguf"])
def test_a_name_that_nobody_typed_is_no_file_of_the_working_folder(
    name: str, tmp_path: Path, options: ModelOptions
):
    write_chat(tmp_path / name.removeprefix("gguf:"))
    assert find_gguf(name, options).path
    error = refused(name, replace(options, untyped_model=name))
    assert "was not typed" in error.message


def test_what_is_kept_of_a_name_means_the_same_everywhere(tmp_path: Path, options: ModelOptions):
    path = write_chat(tmp_path / "here" / "tiny.gguf")
    assert lasting_gguf("here/tiny.gguf") == str(path)
    assert split_name(lasting_gguf("./here")) == ("gguf", str(path.parent))
    assert split_name(lasting_gguf("org/name")) == ("gguf", "org/name")


@pytest.mark.parametrize(
    "model", ["./tiny.gguf", "gguf:tiny.gguf", "org/tiny:Q8_0", "gguf:smollm2"]
)
def test_a_folder_that_nobody_trusts_chooses_no_gguf_file(
    model: str, tmp_path: Path, options: ModelOptions
):
    write_chat(tmp_path / "tiny.gguf")
    (tmp_path / ".env").write_text(f"GLM_MODEL={model}\n")
    try:
        settings = load_settings({}, environ={"GLM_HOME": str(tmp_path)}, folder=tmp_path)
    except ConfigError:
        return
    assert settings.model != model
    assert "model" in settings.ignored
