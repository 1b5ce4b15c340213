import json
import os
import signal
import socket
import time
from contextlib import closing
from pathlib import Path

import pytest

from glmcli.cli.kept import chosen_of, is_called
from glmcli.engines.echo import EchoEngine
from glmcli.engines.kept.place import KeptPlace, folder_to_use
from glmcli.engines.kept.starting import listen_in
from glmcli.errors import UsageError
from tests.support.kept import held, kept_in, kill_kept, wait_until


@pytest.fixture
def runtime(own_runtime):
    yield own_runtime
    kill_kept(own_runtime)


@pytest.fixture
def keep(glm, runtime):
    """`keep("echo:")`: keep a model in memory; its process."""

    def kept(model):
        before = kept_in(runtime)
        assert glm("ask", "-m", model, "--keep", "5m", "hi").out == "hi\n"
        (pid,) = {*kept_in(runtime)} - {*before}
        return pid

    return kept


def test_without_one_there_is_nothing_to_show_or_end(glm, own_runtime):
    assert glm("ps").out == ""
    assert json.loads(glm("ps", "--json").out) == []
    assert "no model is kept" in glm("stop").out
    assert "no model is kept" in glm("stop", "--all").out
    done = glm("stop", "nosuch")
    assert (done.code, len(done.err_lines)) == (2, 2)
    assert "hint: no model is kept" in done.err
    assert list(own_runtime.iterdir()) == []


def test_it_shows_what_is_kept_without_keeping_it_longer(glm, keep):
    pid = keep("echo:")
    (status,) = json.loads(glm("ps", "--json").out)
    assert (status["model"], status["state"], status["pid"]) == ("echo:", "idle", pid)
    assert status["memory_bytes"] > 1_000_000
    time.sleep(0.3)
    (again,) = json.loads(glm("ps", "--json").out)
    assert again["idle_s"] > status["idle_s"]
    assert again["ends_in_s"] < status["ends_in_s"] <= 300
    cells = glm("ps").out.rstrip("\n").split("\t")
    assert (cells[0], cells[1], cells[-1]) == ("echo:", "idle", str(pid))


def test_stop_ends_the_only_one(glm, keep, runtime):
    keep("echo:")
    done = glm("stop")
    assert (done.code, done.out) == (0, "echo: has left the memory\n")
    assert kept_in(runtime) == []
    assert glm("ps").out == ""


def test_of_several_one_is_named_or_all_are(glm, keep, runtime):
    first, second = keep("echo:"), keep("echo:window=9")
    refused = glm("stop")
    assert (refused.code, len(refused.err_lines)) == (2, 2)
    assert "echo:window=9" in refused.err
    assert glm("stop", "echo:window=9").out == "echo:window=9 has left the memory\n"
    assert kept_in(runtime) == [first] != [second]
    keep("echo:window=9")
    assert len(glm("stop", "--all").out.splitlines()) == 2
    assert kept_in(runtime) == []


def test_a_folder_is_named_as_it_is_for_model(tmp_path, monkeypatch, own_runtime):
    (tmp_path / "mdl").mkdir()
    (tmp_path / "mdl" / "config.json").write_text("{}")
    other = KeptPlace(own_runtime, "a"), {"model": "echo:"}
    meant = KeptPlace(own_runtime, "b"), {"model": str(tmp_path / "mdl")}
    monkeypatch.chdir(tmp_path)
    for typed in ("./mdl", "mdl/", str(tmp_path / "mdl")):
        assert chosen_of([other, meant], typed, every=False) == [meant]
    for typed in ("./elsewhere", "nowhere", ""):
        with pytest.raises(UsageError, match="is not kept"):
            chosen_of([other, meant], typed, every=False)


def test_what_conversations_take_is_shown(glm, own_runtime):
    with held(KeptPlace(folder_to_use(), "a" * 16), engine=WithSlots()):
        cells = glm("ps").out.rstrip("\n").split("\t")
    assert "3 MB of 4.0 GB at most" in cells


def test_where_a_model_is_served_is_shown(glm, own_runtime):
    with held(KeptPlace(folder_to_use(), "a" * 16)) as (holder, *_):
        holder.address = "http://127.0.0.1:8001"
        assert glm("ps").out.rstrip("\n").split("\t")[-2] == "http://127.0.0.1:8001"


def test_several_processes_of_one_model_are_said_by_their_numbers():
    found = [(KeptPlace(Path("/x"), "a"), {"model": "echo:", "pid": pid}) for pid in (3, 4)]
    with pytest.raises(UsageError, match=r"^echo: is in 2 processes \(3, 4\)$"):
        chosen_of(found, "echo:", every=False)


def test_where_none_is_named_of_several_processes_of_one_model_a_number_is_offered():
    two = [
        (KeptPlace(Path("/x"), each), {"model": "m", "pid": pid})
        for each, pid in (("a", 7), ("b", 8))
    ]
    with pytest.raises(UsageError, match="2 models are kept: m, m") as caught:
        chosen_of(two, None, every=False)
    assert caught.value.hint == "glm stop 7 ends one of them, --all ends all"


class WithSlots(EchoEngine):
    slot_bytes, slot_limit = 3_000_000, 4_000_000_000


@pytest.mark.parametrize("typed", ["echo:", "echo", "PID"])
def test_a_model_is_named_as_it_was_typed_or_by_its_process(glm, keep, runtime, typed):
    pid = keep("echo:")
    assert glm("stop", typed.replace("PID", str(pid))).code == 0
    assert kept_in(runtime) == []


def test_a_folder_is_named_as_it_was_typed(tmp_path, monkeypatch):
    folder, link = tmp_path / "mymodel", tmp_path / "link"
    folder.mkdir()
    link.symlink_to(folder)
    monkeypatch.chdir(tmp_path)
    served = {"model": "mymodel", "full_name": str(folder.resolve()), "pid": 1}
    for typed in ("mymodel", "./mymodel", str(folder), "link", f"{folder}/", "local:./mymodel"):
        assert is_called(served, typed), typed
    assert not is_called(served, "other")
    assert not is_called(served, "/else/mymodel")
    assert not is_called({"model": "other", "full_name": "/else/other"}, "./mymodel")


def test_one_that_is_not_kept_is_an_error_and_ends_nothing(glm, keep, runtime):
    pid = keep("echo:")
    done = glm("stop", "smollm2")
    assert (done.code, len(done.err_lines)) == (2, 2)
    assert "smollm2 is not kept" in done.err
    assert "these are kept: echo:" in done.err
    assert glm("stop", "echo:", "--all").code == 2
    assert kept_in(runtime) == [pid]


def test_one_that_does_not_answer_is_shown_and_killed(glm, keep, runtime):
    pid = keep("echo:")
    os.kill(pid, signal.SIGSTOP)
    (status,) = json.loads(glm("ps", "--json").out)
    assert (status["state"], status["pid"], status["model"]) == ("deaf", pid, "echo:")
    assert glm("stop", "--all").code == 0
    assert wait_until(lambda: kept_in(runtime) == [])


def test_a_process_that_is_not_known_by_its_command_line_is_not_killed(glm, own_runtime):
    """It is the one of this test, which listens and never answers."""
    with closing(listen_in(KeptPlace(folder_to_use(), "a" * 16))):
        done = glm("stop")
    assert (done.code, len(done.err_lines)) == (6, 2)
    assert f"kill -9 {os.getpid()}" in done.err


def test_one_that_does_not_end_keeps_no_other_from_ending(glm, keep, runtime):
    keep("echo:")
    with closing(listen_in(KeptPlace(folder_to_use(), "0" * 16))):
        done = glm("stop", "--all")
    assert (done.code, done.out) == (6, "echo: has left the memory\n")
    assert f"kill -9 {os.getpid()}" in done.err
    assert kept_in(runtime) == []


def test_no_process_is_named_where_none_is_known(glm, own_runtime):
    """It lets nobody in: too many wait already."""
    place = KeptPlace(folder_to_use(), "a" * 16)
    with closing(listen_in(place)) as listener, socket.socket(socket.AF_UNIX) as first:
        listener.listen(0)
        first.connect(str(place.socket))
        done = glm("stop")
    assert done.code == 6
    assert "does not end" in done.err
    assert "kill" not in done.err
