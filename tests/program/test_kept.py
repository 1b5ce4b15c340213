"""A model that stays in memory for the next who ask: `glm ask --keep`, and who may use it."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support import tiny
from tests.support.kept import kept_in, kill_kept, wait_until
from tests.support.shell import clean_env, command
from tests.support.tiny_chat import TOKENIZER

ECHO = ("-m", "echo:", "--keep", "60s")
KILLS = int(os.environ.get("GLM_TEST_KILLS", "6"))
"""How often each side is killed at a random moment."""
STARTS = int(os.environ.get("GLM_TEST_STARTS", "12"))
"""How many start at once."""


@pytest.fixture
def runtime(own_runtime):
    yield own_runtime
    kill_kept(own_runtime)


@pytest.fixture
def begin(tmp_path, runtime):
    """`begin("ask", …)`: the program, running."""
    running = []

    def begun(*arguments, feed=False):
        env = clean_env(GLM_HOME=str(tmp_path / "home"))
        process = subprocess.Popen(
            command(*arguments),
            cwd=tmp_path,
            env=env,
            stdin=subprocess.PIPE if feed else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        running.append(process)
        return process

    yield begun
    for process in running:
        process.kill()
        process.communicate()


def test_the_second_ask_is_answered_by_the_process_of_the_first(glm, runtime):
    first = glm("ask", *ECHO, "one", "--stats")
    (pid,) = kept_in(runtime)
    second = glm("ask", *ECHO, "two", "--stats")
    assert (first.out, second.out, second.code) == ("one\n", "two\n", 0)
    for done in (first, second):
        assert f"kept by process {pid}, which ends 1m after its last use" in done.err
    assert kept_in(runtime) == [pid]


def test_nothing_stays_where_nobody_asked_for_it(glm, runtime):
    assert glm("ask", "-m", "echo:", "one").out == "one\n"
    assert glm("ask", "-m", "echo:", "--keep", "0", "one", GLM_KEEP="1h").out == "one\n"
    assert list(runtime.iterdir()) == []


def test_the_setting_does_what_the_option_does(glm, runtime):
    assert glm("ask", "-m", "echo:", "one", GLM_KEEP="60s").out == "one\n"
    assert len(kept_in(runtime)) == 1


def test_it_ends_by_itself(glm, runtime):
    glm("ask", "-m", "echo:", "--keep", "0.3s", "one")
    assert wait_until(lambda: not kept_in(runtime), 5)
    assert {path.suffix for path in runtime.glob("glm/*")} == {".lock"}


@pytest.mark.parametrize("word", ["10", "soon", "-5m", "1d", "9999h"])
def test_what_is_not_a_time_is_one_line_and_a_hint(glm, word):
    done = glm("ask", "-m", "echo:", f"--keep={word}", "one")
    assert (done.code, done.out, len(done.err_lines)) == (2, "", 2)
    assert done.err.startswith("glm: --keep ") and "hint:" in done.err


def test_a_server_is_not_kept(glm):
    done = glm("ask", "-m", "openai:x", "--base-url", "http://127.0.0.1:9", "--keep", "1m", "hi")
    assert (done.code, len(done.err_lines)) == (2, 2)
    assert "--keep is for models that are loaded here" in done.err


def test_other_settings_are_another_model(glm, runtime):
    glm("ask", *ECHO, "one")
    other = glm("ask", *ECHO, "--window", "9", "one")
    assert (other.code, other.out) == (0, "one\n")
    assert len(kept_in(runtime)) == 2


def test_errors_pass_with_their_exit_codes(glm, runtime):
    done = glm("ask", "-m", "echo:window=2", "--keep", "60s", "one two three")
    assert (done.code, done.out) == (4, "")
    assert "3" in done.err_lines[0] and "2" in done.err_lines[0]
    done = glm("ask", "-m", "echo:colour=red", "--keep", "60s", "one")
    assert (done.code, done.out, len(done.err_lines)) == (3, "", 2)
    assert "no option 'colour=red'" in done.err
    assert wait_until(lambda: len(kept_in(runtime)) == 1, 5)


def test_a_model_that_there_is_none_of_is_the_same_error(glm, runtime):
    plain, kept = glm("ask", "-m", "nowhere", "x"), glm("ask", "-m", "nowhere", "--keep=1m", "x")
    assert (kept.code, kept.err) == (plain.code, plain.err)
    assert kept_in(runtime) == []


def test_a_pipe_ends_with_the_ask_and_not_with_the_process_that_stays(begin, runtime):
    process = begin("ask", *ECHO, "one")
    started = time.monotonic()
    assert process.communicate(timeout=20)[0] == "one\n"
    assert time.monotonic() - started < 15
    (pid,) = kept_in(runtime)
    opened = [str(fd.readlink()) for fd in Path(f"/proc/{pid}/fd").iterdir()]
    files = [Path(name) for name in opened if ":" not in name]
    assert {path.suffix or path.name for path in files} == {"null", ".lock", ".log"}
    assert sum(name.startswith("pipe:") for name in opened) == 0
    assert Path(f"/proc/{pid}/cwd").readlink() == Path("/")
    assert os.getsid(pid) == pid


def test_no_key_and_no_text_comes_to_the_process(glm, runtime):
    secret, text = "sk-0123456789", "a-very-private-text"
    names = ("GLM_API_KEY", "OPENAI_API_KEY", "GLM_SERVE_KEY", "HF_TOKEN", "HF_HUB_TOKEN")
    address = f"https://me:{secret}@hub.test"
    variables = {**dict.fromkeys(names, secret), "HF_ENDPOINT": address, "https_proxy": address}
    glm("ask", *ECHO, "--no-save", text, **variables)
    (pid,) = kept_in(runtime)
    for name in ("environ", "cmdline"):
        data = Path(f"/proc/{pid}/{name}").read_bytes()
        assert secret.encode() not in data and text.encode() not in data
    for path in runtime.glob("glm/*"):
        if path.suffix != ".sock":
            assert text not in path.read_text() and secret not in path.read_text()


def test_many_at_once_start_one(begin, runtime):
    processes = [begin("ask", *ECHO, f"number {n}") for n in range(STARTS)]
    for n, process in enumerate(processes):
        out, err = process.communicate(timeout=60)
        assert (out, process.returncode) == (f"number {n}\n", 0), err
    assert len(kept_in(runtime)) == 1


def test_a_call_at_the_moment_of_its_end_is_answered(glm, runtime):
    for n in range(8):
        assert glm("ask", "-m", "echo:", "--keep", "0.2s", f"call {n}").out == f"call {n}\n"
        time.sleep(0.02 * n)


def test_wherever_it_is_killed_the_next_call_is_answered(begin, glm, runtime):
    moments = random.Random(17)
    for n in range(KILLS):
        process = begin("ask", *ECHO, "word " * 20)
        time.sleep(moments.uniform(0, 0.6))
        for pid in kept_in(runtime):
            os.kill(pid, signal.SIGKILL)
        out, err = process.communicate(timeout=30)
        assert process.returncode in (0, 6), err
        assert ("word " * 20).startswith(out.rstrip("\n"))
        if process.returncode == 0:
            assert out.split() == ["word"] * 20
        assert glm("ask", *ECHO, f"after {n}").out == f"after {n}\n"
        assert len(kept_in(runtime)) == 1


def test_wherever_the_caller_is_killed_the_next_call_is_answered(begin, glm, runtime):
    moments = random.Random(18)
    for n in range(KILLS):
        process = begin("ask", *ECHO, "word " * 20)
        time.sleep(moments.uniform(0, 0.6))
        process.kill()
        process.communicate()
        assert glm("ask", *ECHO, f"after {n}").out == f"after {n}\n"
        assert len(kept_in(runtime)) == 1


def test_killed_in_the_middle_of_a_reply_what_came_stays(begin, runtime, glm):
    process = begin("ask", "-m", "echo:delay=0.1", "--keep", "60s", "word " * 100)
    assert wait_until(lambda: kept_in(runtime))
    assert process.stdout.read(9) == "word word"
    os.kill(kept_in(runtime)[0], signal.SIGKILL)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 6
    assert set(out.split()) <= {"word", "w", "wo", "wor"}
    assert "the process that kept the model has ended" in err


def test_let_go_while_it_is_loaded_the_ask_ends_and_loads_nothing(begin, runtime, glm):
    process = begin("ask", "-m", "echo:load=30", "--keep", "60s", "word")
    assert wait_until(lambda: kept_in(runtime))
    done = glm("stop")
    assert (done.code, done.out) == (0, "echo:load=30 has left the memory\n")
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out, len(err.splitlines())) == (6, "", 2)
    assert "was told to stop" in err and "hint: glm stop does that" in err
    assert kept_in(runtime) == []


def test_stopped_in_the_middle_of_a_reply_what_came_stays(begin, runtime, glm):
    process = begin("ask", "-m", "echo:delay=0.1", "--keep", "60s", "word " * 100)
    assert wait_until(lambda: kept_in(runtime))
    assert process.stdout.read(9) == "word word"
    (pid,) = kept_in(runtime)
    os.kill(pid, signal.SIGSTOP)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 6
    assert set(out.split()) <= {"word", "w", "wo", "wor"}
    assert "the process that keeps the model does not answer any more" in err
    assert "glm stop ends that process" in err
    assert glm("stop").code == 0
    assert kept_in(runtime) == []


def test_stopped_before_the_first_word_the_ask_is_answered_all_the_same(begin, runtime, glm):
    glm("ask", "-m", "echo:delay=3", "--keep", "60s", "a")
    (pid,) = kept_in(runtime)
    process = begin("ask", "-m", "echo:delay=3", "--keep", "60s", "word")
    assert wait_until(lambda: json.loads(glm("ps", "--json").out)[0]["busy"])
    os.kill(pid, signal.SIGSTOP)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (0, "word\n"), err
    assert "does not answer, so it is loaded here" in err


def test_killed_in_the_middle_of_many_lines_all_are_answered(begin, runtime, glm, tmp_path):
    glm("ask", "-m", "echo:delay=0.05", "--keep", "60s", "begin")
    (tmp_path / "in").write_text("".join(f"this is number {n}\n" for n in range(20)))
    process = begin("ask", "-m", "echo:delay=0.05", "--keep", "60s", "--each", "in")
    assert process.stdout.readline()
    (pid,) = kept_in(runtime)
    os.kill(pid, signal.SIGKILL)
    out, err = process.communicate(timeout=60)
    told = "the process that kept the model has ended: the model is opened again\n"
    assert (process.returncode, err) == (0, told)
    assert [json.loads(line)["text"] for line in out.splitlines()] == [
        f"this is number {n}" for n in range(1, 20)
    ]


@pytest.mark.parametrize("kind", ["file", "dead socket", "link"])
def test_whatever_is_in_the_place_of_the_socket_is_replaced(glm, runtime, kind):
    glm("ask", *ECHO, "one")
    (path,) = runtime.glob("glm/*.sock")
    kill_kept(runtime)
    assert wait_until(lambda: not kept_in(runtime))
    if kind != "dead socket":
        path.unlink()
    if kind == "file":
        path.write_text("something")
    elif kind == "link":
        path.symlink_to("/etc/hostname")
    done = glm("ask", *ECHO, "two")
    assert (done.out, done.err) == ("two\n", "")
    assert path.is_socket()


def test_where_it_cannot_be_kept_it_is_answered_and_said(glm, runtime, tmp_path):
    glm("ask", *ECHO, "one")
    (path,) = runtime.glob("glm/*.sock")
    kill_kept(runtime)
    assert wait_until(lambda: not kept_in(runtime))
    path.unlink()
    (path / "full").mkdir(parents=True)
    done = glm("ask", *ECHO, "two")
    assert (done.out, done.code) == ("two\n", 0)
    assert "the model is not kept" in done.err


def test_an_interrupted_ask_leaves_it_usable(begin, glm, runtime):
    process = begin("ask", "-m", "echo:delay=0.1", "--keep", "60s", "word " * 100)
    assert process.stdout.read(4) == "word"
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    assert process.returncode == -signal.SIGINT
    assert glm("ask", "-m", "echo:delay=0.1", "--keep", "60s", "next").out == "next\n"
    assert len(kept_in(runtime)) == 1


def test_several_are_answered_at_once(glm, runtime):
    glm("ask", *ECHO, "begin")
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda n: glm("ask", *ECHO, f"number {n}").out, range(8)))
    assert done == [f"number {n}\n" for n in range(8)]


def test_a_model_that_is_served_is_found_as_one_that_is_kept(begin, glm, runtime):
    server = begin("serve", "echo:", "--port", "0")
    assert "echo" in server.stdout.readline()
    done = glm("ask", *ECHO, "hi", "--stats")
    assert (done.out, kept_in(runtime)) == ("hi\n", [])
    assert f"kept by process {server.pid}" in done.err
    (status,) = json.loads(glm("ps", "--json").out)
    assert (status["pid"], status["ends_in_s"]) == (server.pid, None)
    assert Path(status["socket"]).parent == runtime / "glm"
    assert glm("stop").code == 0
    assert server.wait(10) == 0
    assert not list(runtime.glob("glm/*.sock"))


def test_one_that_is_kept_makes_way_for_the_same_that_is_served(begin, glm, runtime):
    glm("ask", *ECHO, "hi")
    server = begin("serve", "echo:", "--port", "0")
    assert "echo" in server.stdout.readline()
    assert kept_in(runtime) == []
    assert f"kept by process {server.pid}" in glm("ask", *ECHO, "hi", "--stats").err


def test_http_is_spoken_at_the_same_socket(glm, runtime):
    glm("ask", *ECHO, "hi")
    (path,) = runtime.glob("glm/*.sock")
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(20)
        connection.connect(str(path))
        connection.sendall(
            b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        )
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 200") and b"echo" in answer


def test_the_end_of_a_terminal_is_not_its_end(glm, runtime):
    glm("ask", *ECHO, "hi")
    (pid,) = kept_in(runtime)
    os.kill(pid, signal.SIGHUP)
    assert glm("ask", *ECHO, "again").out == "again\n"
    assert kept_in(runtime) == [pid]


def test_it_ends_when_its_folder_is_swept_at_logout(glm, runtime):
    glm("ask", *ECHO, "hi")
    shutil.rmtree(runtime / "glm")
    assert wait_until(lambda: not kept_in(runtime), 5)
    assert glm("ask", *ECHO, "again").out == "again\n"


def test_one_whose_folder_was_swept_takes_nothing_from_the_next(begin, glm, runtime):
    slow = ("-m", "echo:delay=0.1", "--keep", "60s")
    running = begin("ask", *slow, "one two three four five six seven eight")
    assert wait_until(lambda: [*runtime.glob("glm/*.json")] and kept_in(runtime))
    (pid,) = kept_in(runtime)
    assert wait_until(lambda: json.loads(glm("ps", "--json").out)[0]["busy"])
    shutil.rmtree(runtime / "glm")
    assert glm("ask", *slow, "again").out == "again\n"
    assert wait_until(lambda: pid not in kept_in(runtime))
    assert running.wait() == 0
    files = {path.suffix for path in runtime.glob("glm/*")}
    assert files == {".lock", ".sock", ".json", ".log"}


def test_it_goes_on_where_its_log_cannot_be_written(glm, runtime):
    glm("ask", *ECHO, "hi")
    kill_kept(runtime)
    assert wait_until(lambda: not kept_in(runtime))
    (log,) = runtime.glob("glm/*.log")
    log.unlink()
    log.symlink_to("/dev/full")
    assert glm("ask", *ECHO, "one").out == "one\n"
    log.unlink()
    assert glm("ask", *ECHO, "two").out == "two\n"
    assert len(kept_in(runtime)) == 1


def test_a_file_for_its_log_that_is_none_is_not_waited_for(glm, runtime):
    glm("ask", *ECHO, "hi")
    kill_kept(runtime)
    assert wait_until(lambda: not kept_in(runtime))
    for name in ("*.log", "*.json"):
        (path,) = runtime.glob(f"glm/{name}")
        path.unlink()
        os.mkfifo(path)
    done = glm("ask", *ECHO, "one", timeout=30)
    assert (done.out, done.err) == ("one\n", "")


def test_a_folder_that_nobody_trusts_keeps_no_model(glm, runtime, tmp_path):
    (tmp_path / ".env").write_text("GLM_KEEP=10m\nGLM_MODEL=echo:\n")
    assert glm("ask", "-m", "echo:", "one").out == "one\n"
    assert list(runtime.iterdir()) == []
    assert "trusted" in glm("config", "trust").out + glm("config", "trust").err
    assert glm("ask", "-m", "echo:", "one").out == "one\n"
    assert len(kept_in(runtime)) == 1


def test_what_is_not_needed_of_the_environment_does_not_come_to_the_process(glm, runtime):
    secrets = {"DATABASE_URL": "postgres://u:pw@h/", "MY_PASSPHRASE": "x1", "AWS_SESSION": "x2"}
    proxies = {"http_proxy": "http://u:pw@proxy", "HTTPS_PROXY": "http://proxy:3128"}
    glm("ask", *ECHO, "one", OMP_NUM_THREADS="1", LC_ALL="C.UTF-8", **secrets, **proxies)
    (pid,) = kept_in(runtime)
    data = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    names = {line.partition(b"=")[0].decode() for line in data}
    assert names >= {"OMP_NUM_THREADS", "PATH", "HOME", "LC_ALL", "HTTPS_PROXY", "XDG_RUNTIME_DIR"}
    assert names.isdisjoint({*secrets, "http_proxy", "GLM_HOME", "PWD", "SHELL"})


def test_with_auto_it_is_kept_and_found_as_what_was_chosen(glm, runtime, tmp_path):
    folder = str(tmp_path / "net")
    tiny.llama(len(TOKENIZER)).save_pretrained(folder)
    TOKENIZER.save_pretrained(folder)
    asked = ("ask", "-m", folder, "--max-tokens", "1", "--device", "cpu", "hi")
    first = glm(*asked, "--quantize", "auto", "--keep", "60s")
    assert "--quantize auto takes float32: about 0.0 GB of memory needed" in first.err
    (pid,) = kept_in(runtime)
    again = glm(*asked, "--quantize", "auto", "--stats")
    assert "cpu float32" in again.err and f"kept by process {pid}" in again.err
    assert "--quantize auto takes" not in again.err
    assert f"kept by process {pid}" in glm(*asked, "--stats").err
    assert "cpu float32" in glm("ps").out


@pytest.mark.model
def test_a_model_that_is_loaded_is_used_by_all_and_makes_way_for_another(glm, runtime):
    """Another environment for nets is another key, as another version is."""
    asked = ("ask", "--max-tokens", "2", "--temperature", "0", "-q", "Say hi")
    first = glm(*asked, "--keep", "60s")
    (pid,) = kept_in(runtime)
    plain = glm(*asked, "--stats")
    assert (plain.out, kept_in(runtime)) == (first.out, [pid])
    assert glm(*asked, "--keep", "60s", OMP_NUM_THREADS="2").out == first.out
    (other,) = kept_in(runtime)
    assert other != pid
    assert glm(*asked).out == first.out, "what is loaded here"
    assert kept_in(runtime) == []


@pytest.mark.model
def test_it_is_said_why_the_same_model_is_loaded_again(glm, runtime, tmp_path):
    folder = tmp_path / "tiny"
    tiny.llama(len(TOKENIZER), max_position_embeddings=300).save_pretrained(folder)
    TOKENIZER.save_pretrained(folder)
    ask = ("ask", "-m", "./tiny", "--keep", "60s", "--no-save", "--max-tokens", "1", "hi")
    assert "has left" not in glm(*ask).err
    (folder / "tokenizer.json").touch()
    assert "tiny has left the memory: its files have changed\n" in glm(*ask).err
    said = "tiny has left the memory: it was loaded with another window\n"
    assert said in glm(*ask, "--window", "99").err
    assert len(kept_in(runtime)) == 1


def test_a_chat_goes_on_with_it_and_without_it(begin, glm, runtime):
    glm("ask", "--max-tokens", "2", "-q", "--keep", "2s", "Say hi")
    (pid,) = kept_in(runtime)
    chat = begin("chat", "--max-tokens", "3", "-q", feed=True)
    chat.stdin.write("Say hi\n")
    chat.stdin.flush()
    assert chat.stdout.read(1)
    time.sleep(3)
    assert kept_in(runtime) == [pid], "the chat may go on to ask"
    os.kill(pid, signal.SIGKILL)
    out, err = chat.communicate("Say it again\n", timeout=100)
    assert (chat.returncode, out.strip() != "") == (0, True), err
    assert kept_in(runtime) == []
