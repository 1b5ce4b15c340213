import json
import math
import os
import socket
import threading
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from functools import partial

import pytest

from glmcli import machine
from glmcli.config import load_settings
from glmcli.config.values import Seconds
from glmcli.engines import open_alone, open_kept
from glmcli.engines.echo import EchoEngine
from glmcli.engines.kept import open_kept_or_here
from glmcli.engines.kept.engine import KeptEngine
from glmcli.engines.kept.finding import (
    Finder,
    Others,
    lines_about,
    make_leave,
    open_without_others,
    others_gone,
)
from glmcli.engines.kept.link import Gone, Link
from glmcli.engines.kept.place import (
    KeptPlace,
    all_places,
    folder_to_use,
    kept_key,
    model_folder,
    write_about,
)
from glmcli.engines.kept.starting import link_to_socket, listen_in, patience_s
from glmcli.engines.kept.tending import kept_models
from glmcli.engines.thread import engine_of
from glmcli.errors import EngineError, ModelError, OutOfMemory
from glmcli.serve.life import close_listener
from glmcli.types import GenerationParams, Message
from tests.support import tiny
from tests.support.kept import held, kill_kept
from tests.support.tiny_chat import TOKENIZER


def report(progress):
    """Nobody looks."""


@pytest.fixture
def settings(tmp_path):
    return load_settings({"model": "echo:"}, folder=tmp_path)


@pytest.fixture
def place(own_runtime, settings):
    return KeptPlace(folder_to_use(), kept_key(settings, model_folder(settings)))


def test_where_nothing_is_kept_the_model_is_loaded_here(settings, own_runtime):
    engine = open_kept_or_here(settings, report)
    assert engine.details == ""
    assert list(own_runtime.iterdir()) == []


def test_one_of_the_same_key_is_used(settings, place):
    settings = replace(settings, keep=Seconds(60))
    with held(place) as (holder, _, _said), closing(open_kept_or_here(settings, report)) as engine:
        assert "kept by process" in engine.details
        assert holder.status()["clients"] == 1


def test_one_that_cannot_be_reached_is_no_reason_to_fail(settings, place):
    place.socket.write_text("")
    assert Finder(settings, report).found(all_places()).details == ""


@pytest.mark.parametrize(
    "said",
    [{"answer": 5, "end": True}, {"progress": []}, {"error": {"code": "x"}}, {"answer": {"x": 1}}],
)
def test_what_listens_and_is_no_process_that_keeps_a_model_is_passed_over(settings, place, said):
    def answer():
        with suppress(OSError):
            while True:
                link = Link(listener.accept()[0])
                with suppress(Gone):
                    link.receive(5)
                    link.send(said)
                link.close()

    listener = listen_in(place)
    threading.Thread(target=answer, daemon=True).start()
    try:
        assert kept_models() == []
        settings = replace(settings, keep=Seconds(60))
        with closing(Finder(settings, report).found(all_places())) as engine:
            assert "kept by process" not in engine.details
            asked = [Message("user", "hi")], GenerationParams(), threading.Event()
            assert "hi" in "".join(chunk.text for chunk in engine.stream(*asked))
    finally:
        close_listener(listener)


@pytest.mark.parametrize("model", ["openai:x", "fastchat:x"])
def test_a_model_at_an_address_is_asked_there_and_never_kept(model, tmp_path, own_runtime):
    """`keep` of the environment or the configuration: an option that was typed is refused."""
    typed = {"model": model, "base_url": "http://127.0.0.1:9/v1"}
    settings = replace(load_settings(typed, folder=tmp_path), keep=Seconds(60))
    unreached = pytest.raises(EngineError, match=r"127\.0\.0\.1:9")
    with unreached, closing(open_kept(settings, report)) as engine:
        list(engine.stream([Message("user", "hi")], GenerationParams(), threading.Event()))
    assert list(own_runtime.iterdir()) == []


def test_what_needs_no_memory_does_not_look_unless_it_is_to_be_kept(settings, place):
    with held(place):
        assert open_kept(settings, report).details == ""
        with closing(open_kept(replace(settings, keep=Seconds(60)), report)) as engine:
            assert "kept by process" in engine.details


def test_what_does_not_fit_beside_one_that_is_busy_says_how_to_make_room(place):
    with held(place):
        link = link_to_socket(place)
        with closing(KeptEngine(link, lambda: pytest.fail("it is there"))) as engine:
            engine.open(report)
            with pytest.raises(OutOfMemory) as full, others_gone([place], report):
                raise OutOfMemory(8 * 10**9, 10**9)
    assert full.value.exit_code == 5
    assert "echo: stays in memory" in full.value.hint and "glm stop" in full.value.hint


def test_without_a_busy_one_the_hint_stays(place):
    with pytest.raises(OutOfMemory) as full, others_gone([place], report):
        raise OutOfMemory(8 * 10**9, 10**9)
    assert full.value.hint == OutOfMemory(8 * 10**9, 10**9).hint


def test_a_model_that_there_is_none_of_is_said_whatever_is_kept(place, tmp_path):
    nowhere = load_settings({"model": "nowhere"}, folder=tmp_path)
    with held(place) as (_, thread, _said):
        for open_it in (open_kept_or_here, partial(open_alone, tell=print)):
            with pytest.raises(ModelError, match="nowhere"):
                open_it(nowhere, report)
        assert thread.is_alive()


def test_a_model_that_cannot_be_fetched_ends_no_other(place, tmp_path):
    typo = load_settings({"model": "org/typo", "offline": True}, environ={}, folder=tmp_path)
    with held(place) as (holder, thread, _said):
        for open_it in (open_kept_or_here, partial(open_alone, tell=print)):
            with pytest.raises(ModelError, match="org/typo"):
                open_it(typo, report)
        assert thread.is_alive()
        assert not holder.in_the_way.is_set()


@contextmanager
def leaving(place, *answers, model="/models/another"):
    """One that is asked to leave, answers, and ends; not as long as the last answer is None."""
    write_about(place, model, os.getpid())
    released = threading.Event()

    def answer():
        link = Link(listener.accept()[0])
        link.receive(5)
        for each in filter(None, answers):
            link.send({"answer": each})
        if answers[-1] is None:
            released.wait(10)
        link.close()

    with closing(listen_in(place)) as listener:
        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        yield
        released.set()
        thread.join(5)


LEAVES, STAYS = {"leaving": True}, {"leaving": False, "model": "another"}
SERVED = {**STAYS, "served": True}


@pytest.mark.parametrize(
    ("answers", "found"),
    [
        ((LEAVES,), Others([], ["/models/another"], [])),
        ((STAYS,), Others(["another"], [], [])),
        ((SERVED,), Others([], [], ["another"])),
        ((LEAVES, STAYS), Others(["/models/another"], [], [])),
        ((LEAVES, None), Others(["/models/another"], [], [])),
    ],
)
def test_only_whoever_is_gone_has_left(place, monkeypatch, answers, found):
    monkeypatch.setattr("glmcli.engines.kept.finding.LEAVE_S", 0.3)
    with leaving(place, *answers):
        assert make_leave([place], report) == found


@pytest.fixture
def folder(tmp_path):
    """A checkpoint as people have it on disk."""
    path = tmp_path / "tiny-chat"
    tiny.llama(len(TOKENIZER), max_position_embeddings=300).save_pretrained(path)
    TOKENIZER.save_pretrained(path)
    return path


def test_a_model_that_left_for_another_is_told_of_before_the_first_reply(place, folder):
    settings = load_settings({"model": str(folder)}, environ={}, folder=folder)
    asked = [Message("user", "hi")], GenerationParams(max_tokens=1), threading.Event()
    with leaving(place, LEAVES), closing(engine_of(settings)) as engine:
        notices = [
            [chunk.notice for chunk in engine.stream(*asked) if chunk.notice] for _ in range(2)
        ]
    line = "another has left the memory for this model"
    assert notices == [[line], []]


def test_a_copy_that_was_in_use_when_another_came_leaves_once_it_is_idle(place, folder):
    settings = load_settings({"model": str(folder)}, environ={}, folder=folder)
    own = KeptPlace(folder_to_use(), kept_key(settings, model_folder(settings)))
    asked = [Message("user", "hi")], GenerationParams(max_tokens=1), threading.Event()
    notices = []
    for answer in (STAYS, LEAVES):
        copy = leaving(place, answer, model=str(folder))
        with held(own), copy, closing(engine_of(settings)) as engine:
            notices += [chunk.notice for chunk in engine.stream(*asked) if chunk.notice]
            assert "kept by process" in engine.details
    (line,) = notices
    assert line.startswith("tiny-chat has left the memory: it was loaded with another window")


@pytest.mark.parametrize(
    ("kept", "is_free", "is_met"),
    [
        ("none", 0.5, True),
        ("int8", 0.5, True),  # it takes the memory itself that is not free
        ("none", 10, True),
        ("int8", 10, False),
        ("int4", 0.5, False),  # the processor has no such products
    ],
)
def test_with_auto_one_that_is_as_exact_as_memory_allows_is_met(
    kept, is_free, is_met, folder, own_runtime, monkeypatch
):
    """`is_free`: memory, in sizes of the model."""
    monkeypatch.setattr(machine, "free_bytes", lambda: int(is_free * size))
    size = (folder / "model.safetensors").stat().st_size
    typed = {"model": str(folder), "quantize": "auto", "device": "cpu"}
    settings = load_settings(typed, environ={}, folder=folder)
    key = kept_key(replace(settings, quantize=kept), model_folder(settings))
    with held(KeptPlace(folder_to_use(), key)):
        engine = attempted(settings)
        assert ("kept by process" in engine.details) == is_met
        engine.close()


def attempted(settings):
    """The engine that is found; nothing in place of one that does not fit."""
    try:
        return open_kept_or_here(settings, report)
    except OutOfMemory:
        return EchoEngine()


def test_with_auto_a_process_whose_memory_ends_is_followed_by_one_in_fewer_bits(
    folder, own_runtime, monkeypatch
):
    """Here there seems to be room; the processes look for themselves."""
    monkeypatch.setattr(machine, "free_bytes", lambda: 10**15)
    add_matrix(folder / "model.safetensors", rows=10**6, columns=10**6)
    typed = {"model": str(folder), "quantize": "auto", "device": "cpu", "keep": "60s"}
    settings = load_settings(typed, environ={}, folder=folder)
    with pytest.raises(OutOfMemory) as caught:
        open_kept_or_here(settings, report)
    assert 1.0 < caught.value.needed / 10**12 < 1.1
    assert len(list(folder_to_use().glob("*.log"))) == 2
    kill_kept(own_runtime)


def add_matrix(path, *, rows, columns):
    """Add one to the weights in a file, in which its numbers take no space on the disk."""
    data = path.read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    header, numbers = json.loads(data[8:start]), data[start:]
    end = len(numbers) + 4 * rows * columns
    header["extra.weight"] = {
        "dtype": "F32",
        "shape": [rows, columns],
        "data_offsets": [len(numbers), end],
    }
    head = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(len(head).to_bytes(8, "little") + head + numbers)
        file.truncate(8 + len(head) + end)


def test_of_the_same_model_with_other_settings_it_is_said_what_may_differ():
    (line,) = lines_about(Others([], ["local:smollm2"], []), "local:smollm2")
    assert "smollm2 has left the memory: it was loaded with another window" in line


@pytest.fixture(params=["nobody takes", "nobody is let in"])
def deaf(request, place, monkeypatch):
    """Something listens at the place, and gives no sign of life; it has been there for long."""
    monkeypatch.setattr("glmcli.engines.kept.starting.LIFE_S", 0.2)
    with closing(listen_in(place)) as listener:
        os.utime(place.socket, (1, 1))
        if request.param == "nobody takes":
            yield
            return
        listener.listen(0)
        with socket.socket(socket.AF_UNIX) as first:
            first.connect(str(place.socket))
            yield


@pytest.mark.parametrize("keep", [0, 60])
def test_one_that_gives_no_sign_of_life_is_said_and_the_model_is_loaded_here(settings, deaf, keep):
    settings = replace(settings, keep=Seconds(keep))
    engine = Finder(settings, report).found(all_places())
    asked = [Message("user", "hi")], GenerationParams(), threading.Event()
    chunks = list(engine.stream(*asked))
    assert "does not answer, so it is loaded here; glm stop ends it" in chunks[0].notice
    assert "".join(chunk.text for chunk in chunks) == "hi"


def test_one_that_gives_no_sign_of_life_keeps_no_other_model_from_being_loaded(settings, deaf):
    other = replace(settings, model="echo:load=0", keep=Seconds(0))
    with others_gone(all_places(), report):
        assert Finder(other, report).found([]).details == ""


def test_one_that_starts_is_given_more_time(place):
    with closing(listen_in(place)):
        assert patience_s(place) > 50
        os.utime(place.socket, (1, 1))
        assert patience_s(place) == 10


def test_whoever_asks_last_says_how_long_it_is_kept(settings, place):
    with held(place, keep_s=60) as (holder, *_):
        for keep, wanted in ((7200, 7200), (0, 7200), (90, 90)):
            engine = open_kept_or_here(replace(settings, keep=Seconds(keep)), report)
            assert str(Seconds(wanted)) in (engine.details if keep else str(Seconds(wanted)))
            engine.close()
            assert holder.status()["keep_s"] == wanted


def test_what_is_served_does_not_end_by_the_word_of_a_client(settings, place):
    with held(place, keep_s=math.inf) as (holder, *_):
        open_kept_or_here(replace(settings, keep=Seconds(1)), report).close()
        assert holder.status()["keep_s"] is None


@pytest.mark.parametrize("spares_same", [False, True])
def test_whoever_is_to_have_the_memory_alone_has_even_the_same_model_leave(
    settings, place, spares_same, monkeypatch
):
    monkeypatch.setattr("glmcli.engines.kept.finding.LEAVE_S", 0.3)
    with held(place) as (_, thread, _said):
        engine = open_without_others(settings, report, tell=print, spares_same=spares_same)
        assert engine.details == ""
        assert thread.is_alive() == spares_same


def test_what_became_of_others_is_told_to_whoever_loads_a_model_alone(settings, place, folder):
    lines = []
    with leaving(place, LEAVES):
        open_without_others(settings, report, tell=lines.append, spares_same=False)
    assert lines == ["another has left the memory for this model"]
    with held(place):
        user = KeptEngine(link_to_socket(place), lambda: pytest.fail("it left"))
        user.open(report)
        open_without_others(settings, report, tell=lines.append, spares_same=False)
        assert lines[1:] == ["echo: is in use and stays in memory beside this model"]
        other = load_settings({"model": str(folder)}, environ={}, folder=folder)
        with closing(open_kept_or_here(other, report)) as engine:
            asked = [Message("user", "hi")], GenerationParams(max_tokens=1), threading.Event()
            assert lines[1] in [chunk.notice for chunk in engine.stream(*asked)]
        user.close()


def test_it_is_asked_on_whatever_thread_finds_it(settings, place):
    found = []
    settings = replace(settings, keep=Seconds(60))
    with held(place):
        thread = threading.Thread(target=lambda: found.append(open_kept_or_here(settings, report)))
        thread.start()
        thread.join(5)
        assert "kept by process" in found[0].details
        found[0].close()
