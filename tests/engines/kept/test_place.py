import os
from dataclasses import replace
from pathlib import Path

import pytest

from glmcli.config import Settings, load_settings
from glmcli.engines.kept.place import (
    SOCKET_BYTES,
    KeptPlace,
    all_places,
    code_stamp,
    folder_to_use,
    is_private,
    kept_key,
    load_values,
    model_folder,
    read_about,
    write_about,
)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings({"model": "echo:"}, folder=tmp_path)


def test_the_folder_is_the_users_alone(own_runtime: Path) -> None:
    folder = folder_to_use()
    assert folder == own_runtime / "glm"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert folder_to_use() == folder


@pytest.mark.parametrize("kind", ["readable", "link", "file"])
def test_a_folder_that_others_could_have_made_is_not_used(own_runtime, kind, monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(own_runtime / "temp"))
    (own_runtime / "temp").mkdir()
    planted = own_runtime / "glm"
    if kind == "readable":
        planted.mkdir(mode=0o755)
    elif kind == "link":
        (own_runtime / "elsewhere").mkdir(mode=0o700)
        planted.symlink_to("elsewhere")
    else:
        planted.write_text("")
    assert not is_private(planted)
    assert folder_to_use() == own_runtime / "temp" / f"glm-{os.getuid()}"
    assert all_places() == []


def test_where_no_folder_is_private_there_is_a_reason(own_runtime, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(own_runtime / "temp"))
    for folder in (own_runtime / "glm", own_runtime / "temp" / f"glm-{os.getuid()}"):
        folder.mkdir(parents=True)
        folder.chmod(0o777)
    with pytest.raises(OSError, match="others may use it"):
        folder_to_use()


def test_the_path_of_a_socket_is_never_too_long(own_runtime, monkeypatch):
    long = own_runtime / ("x" * SOCKET_BYTES)
    long.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(long))
    monkeypatch.setattr("tempfile.tempdir", str(own_runtime))
    assert folder_to_use() == own_runtime / f"glm-{os.getuid()}"


def test_there_is_nothing_where_nothing_was_ever_kept(own_runtime):
    assert all_places() == []
    assert list(own_runtime.iterdir()) == []


def test_what_listens_is_found_by_its_key(own_runtime):
    folder = folder_to_use()
    for name in ("b.sock", "a.sock", "a.lock", "a.log"):
        (folder / name).touch()
    assert all_places() == [KeptPlace(folder, "a"), KeptPlace(folder, "b")]


@pytest.mark.parametrize(
    "changes",
    [{"model": "echo:load=1"}, {"device": "cpu"}, {"dtype": "float32"}, {"window": 9}],
    ids=lambda changes: next(iter(changes)),
)
def test_another_way_to_load_is_another_key(settings, changes):
    assert kept_key(replace(settings, **changes), None) != kept_key(settings, None)


@pytest.mark.parametrize(
    "changes",
    [
        {"temperature": 0.5},
        {"system": "be brief"},
        {"seed": 1},
        {"api_key": "x"},
        {"history": False},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_how_it_is_asked_is_no_part_of_the_key(settings, changes):
    assert kept_key(replace(settings, **changes), None) == kept_key(settings, None)


def test_what_was_kept_where_the_best_folder_could_not_be_is_found(own_runtime, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(own_runtime / "missing"))
    other = KeptPlace(folder_to_use(), "a")
    other.socket.touch()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(own_runtime))
    assert all_places() == [other]
    best = KeptPlace(folder_to_use(), "b")
    assert best.folder != other.folder
    best.socket.touch()
    assert all_places() == [best, other]


def test_which_model_it_is_is_known_without_its_process(own_runtime):
    place = KeptPlace(folder_to_use(), "a")
    assert read_about(place) == {}
    write_about(place, "a model with a very long name", 17)
    write_about(place, "echo:", 5)
    assert read_about(place) == {"model": "echo:", "pid": 5}
    for text in ("", "[]", '{"model": 1, "pid": 5}', '{"model": "x"}', "\xff"):
        place.about.write_text(text)
        assert read_about(place) == {}


def test_code_that_was_pulled_into_an_editable_installation_is_another_stamp(tmp_path):
    code = tmp_path / "glmcli"
    (code / "serve").mkdir(parents=True)
    for name in ("serve/a.py", "serve/b.py"):
        (code / name).write_text("")
        os.utime(code / name, (5, 5))
    before = code_stamp(code)
    (code / "__pycache__").mkdir()
    (code / "__pycache__" / "a.py").write_text("")
    assert code_stamp(code) == before
    os.utime(code / "serve" / "b.py", (4, 4))
    assert code_stamp(code) != before
    os.utime(code / "serve" / "b.py", (5, 5))
    (code / "c.py").write_text("")
    assert code_stamp(code) != before
    installed = tmp_path / "site-packages" / "glmcli"
    installed.parent.mkdir()
    code.rename(installed)
    assert code_stamp(installed) == (0, 0), "its time is that of the folder around it"


def test_another_version_is_another_key(settings, monkeypatch):
    before = kept_key(settings, None)
    monkeypatch.setattr("glmcli.engines.kept.place.__version__", "999")
    assert kept_key(settings, None) != before


@pytest.mark.parametrize("name", ["CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "HF_HOME"])
def test_another_environment_for_nets_is_another_key(settings, monkeypatch, name):
    before = kept_key(settings, None)
    monkeypatch.setenv(name, "3")
    assert kept_key(settings, None) != before


@pytest.mark.parametrize("name", ["LC_ALL", "LANG", "LANGUAGE"])
def test_another_language_is_the_same_key(settings, monkeypatch, name):
    before = kept_key(settings, None)
    monkeypatch.setenv(name, "zh_CN.UTF-8")
    assert kept_key(settings, None) == before


def test_weights_that_were_exchanged_are_another_key(settings, tmp_path):
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(b"12345")
    os.utime(weights, (1, 1))
    before = kept_key(settings, tmp_path)
    os.utime(weights, (2, 2))
    assert kept_key(settings, tmp_path) != before


def test_a_folder_is_the_same_from_wherever_it_is_named(settings, tmp_path, monkeypatch):
    (tmp_path / "some" / "model").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    here = replace(settings, model="./some/model")
    monkeypatch.chdir(tmp_path / "some")
    there = replace(settings, model="./model")
    assert load_values(there)["model"] == str(tmp_path / "some" / "model")
    monkeypatch.chdir(tmp_path)
    key = kept_key(here, model_folder(here))
    monkeypatch.chdir(tmp_path / "some")
    assert kept_key(there, model_folder(there)) == key
    (tmp_path / "link").symlink_to("some")
    for spelling in (
        "../some/model",
        "model/../model/",
        f"{tmp_path}/link/model",
        "../link//model",
    ):
        same = replace(settings, model=spelling)
        assert kept_key(same, model_folder(same)) == key
    adapters = [replace(here, adapter=each, model="echo:") for each in ("model", "../link/model")]
    assert load_values(adapters[0]) == load_values(adapters[1])


def test_no_key_of_a_server_is_told(settings):
    told = load_values(replace(settings, api_key="sk-secret", base_url="http://example"))
    assert "secret" not in str(told) and "example" not in str(told)
