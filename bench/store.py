"""The history's figures: a large one, kills at random moments, two writers, the journal's cost.

python bench/store.py                      everything; the large history takes some minutes
python bench/store.py large --conversations 10000
python bench/store.py kills --rounds 200
"""

from __future__ import annotations

import argparse
import random
import shutil
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from glmcli.store import Store, open_store
from glmcli.types import Conversation, GenerationParams, Message, Usage

MESSAGES = 20
PARAMS = GenerationParams()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("what", nargs="?", default="all")
    parser.add_argument("--conversations", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--home", type=Path, help="where the large history is, or will be kept")
    args = parser.parse_args()
    if args.what in ("child", "writer"):
        (write_until_killed if args.what == "child" else write_turns)(args.home)
        return
    folder = Path(tempfile.mkdtemp(prefix="glm-bench-"))
    try:
        if args.what in ("all", "journal"):
            journal(folder / "journal")
        if args.what in ("all", "kills"):
            kills(folder / "kills", args.rounds)
        if args.what in ("all", "writers"):
            two_writers(folder / "writers")
        if args.what in ("all", "large"):
            large(args.home or folder / "large", args.conversations)
    finally:
        shutil.rmtree(folder)


# A large history.


def large(home: Path, conversations: int) -> None:
    """Build it if it is not there, then time what people wait for."""
    if not (home / "history.db").exists():
        started = time.perf_counter()
        store = open_store(home)
        for first in range(0, conversations, 1000):
            store.save(*invented(first, min(first + 1000, conversations)))
        store.close()
        print(f"built in {time.perf_counter() - started:.0f} s")
    size = (home / "history.db").stat().st_size
    print(f"{conversations:,} conversations of {MESSAGES} messages, {size / 1e6:,.0f} MB")

    def start() -> None:
        open_store(home).close()

    timed("open the store", 0.1, start)
    store = open_store(home)
    some = store.list(1000)
    timed("list 50", 0.3, lambda: store.list(50))
    timed("list all", None, lambda: store.list(None))
    timed("load one", 0.1, lambda: store.load(random.choice(some).id))
    for label, query in (
        ("a rare word", "zyzzyva"),
        ("a word that is nowhere", "qqqqq"),
        ("the most common word", "w0"),
        ("two common words", "w0 w1"),
        ("a common and a rare word", "w0 zyzzyva"),
        ("a phrase", '"w1 w0 w2"'),
        ("the beginning of a word", "zyz"),
        ("the beginning of common words", "w10"),
        ("two characters, rare", "龘靐"),
        ("two characters, common", "的一"),
        ("one character, common", "的"),
        ("four characters", "的一是不"),
        ("one character and a word", "的 zyzzyva"),
    ):
        timed(f"search for {label}: {len(store.search(query))} hits", 0.3, search(store, query))
    store.close()


def search(store: Store, query: str) -> Callable[[], object]:
    return lambda: store.search(query)


def invented(start: int, stop: int) -> Iterator[Conversation]:
    """Conversations, half English and half Chinese, whose words are as unequal as real ones."""
    chance = random.Random(start)
    words = [f"w{rank}" for rank in range(50_000)]
    characters = "的一是不了人我在有他" + "".join(map(chr, range(0x4E00, 0x4E00 + 3000)))
    word_weights = cumulative(len(words))
    character_weights = cumulative(len(characters))
    for number in range(start, stop):
        messages = []
        for index in range(MESSAGES):
            if number % 2:
                drawn = chance.choices(characters, cum_weights=character_weights, k=100)
                text = "".join(drawn)
            else:
                text = " ".join(chance.choices(words, cum_weights=word_weights, k=40))
            if number % 10_000 == 777 and index == 3:
                text += " zyzzyva 龘靐"
            if index % 2:
                usage = Usage(100 * index, 0, 40, 0.1, 1.0)
                messages.append(Message("assistant", text, finish_reason="stop", usage=usage))
            else:
                messages.append(Message("user", text))
        yield Conversation(messages=messages, model="bench")


def cumulative(count: int) -> list[float]:
    """Zipf's law: the word of rank n is 1/n as common as the first."""
    total, sums = 0.0, []
    for rank in range(1, count + 1):
        total += 1 / rank
        sums.append(total)
    return sums


def timed(label: str, target_s: float | None, action: Callable[[], object]) -> None:
    times = []
    for _ in range(5):
        started = time.perf_counter()
        action()
        times.append(time.perf_counter() - started)
    first, middle = times[0], statistics.median(times)
    goal = f"  {first / target_s:6.1%} of {target_s} s" if target_s else ""
    print(f"  {label:<50} first {1000 * first:8.1f} ms, then {1000 * middle:8.1f} ms{goal}")


# The cost of journaling.


def journal(home: Path) -> None:
    """What the journal takes of a second, while a reply of 20,000 characters grows."""
    store = open_store(home)
    conversation = Conversation()
    costs: dict[str, list[float]] = {"begin": [], "progress": [], "complete": []}
    for number in range(20):
        question, text = f"question {number}", ""
        with clocked(costs["begin"]):
            turn = store.begin(conversation, question, params=PARAMS, model="bench")
        for _ in range(50):
            text += "word " * 80
            with clocked(costs["progress"]):
                store.progress(turn, text, "")
        reply = Message("assistant", text, finish_reason="stop")
        with clocked(costs["complete"]):
            store.complete(turn, reply)
        conversation.messages += [Message("user", question), reply]
    store.close()
    for name, times in costs.items():
        middle, worst = statistics.median(times), max(times)
        print(f"{name:<9} {1000 * middle:6.2f} ms, at most {1000 * worst:6.2f} ms")
    share = statistics.mean(costs["progress"])
    print(f"once a second that is {share:.2%} of the time (1 % allowed)")


@contextmanager
def clocked(times: list[float]) -> Iterator[None]:
    """Add the seconds that the block takes."""
    started = time.perf_counter()
    yield
    times.append(time.perf_counter() - started)


# Kills at random moments.


def kills(home: Path, rounds: int) -> None:
    """SIGKILL a process that chats; then look for what it had been told was safe."""
    lost_questions = lost_text = unreadable = turns = 0
    for _ in range(rounds):
        said = killed_chat(home)
        store = open_store(home)
        for line in said:
            kind, name, index, length = line.split()
            turns += kind == "question"
            try:
                messages = store.load(name).messages
            except Exception:
                unreadable += 1
                continue
            if len(messages) <= int(index) + 1 or messages[int(index)].text != f"question {index}":
                lost_questions += 1
            elif len(messages[int(index) + 1].text) < int(length):
                lost_text += 1
        store.close()
    with sqlite3.connect(home / "history.db") as db:
        (verdict,) = db.execute("PRAGMA integrity_check").fetchone()
    left = sorted(path.name for path in home.iterdir() if "turn" in path.name)
    print(
        f"{rounds} kills, {turns} turns: {unreadable} conversations unreadable, {lost_questions} "
        f"questions lost, {lost_text} replies shorter than journaled, integrity: {verdict}, "
        f"claims left: {len(left)}"
    )


def killed_chat(home: Path) -> list[str]:
    """What a chat said it had stored, the last of each turn, until it was killed."""
    command = [sys.executable, __file__, "child", "--home", str(home)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        first = child.stdout.readline()
        time.sleep(random.uniform(0, 0.2))
        child.send_signal(signal.SIGKILL)
        said = first + child.stdout.read()
    lines = said[: said.rfind("\n") + 1].splitlines()
    latest = {(line.split()[0], line.split()[1], line.split()[2]): line for line in lines}
    return list(latest.values())


def write_until_killed(home: Path) -> None:
    """Chat for ever, saying what is stored as soon as it is."""
    store = open_store(home)
    conversation = Conversation()
    while True:
        index = len(conversation.messages)
        question = f"question {index}"
        turn = store.begin(conversation, question, params=PARAMS, model="bench")
        print("question", conversation.id, index, 0, flush=True)
        text = ""
        for _ in range(random.randrange(20)):
            text += "some more words " * 10
            store.progress(turn, text, "")
            print("reply", conversation.id, index, len(text), flush=True)
        reply = Message("assistant", text, finish_reason="stop")
        store.complete(turn, reply)
        conversation.messages += [Message("user", question), reply]


# Two writers.


def two_writers(home: Path) -> None:
    """Two processes that write 1,000 turns each."""
    command = [sys.executable, __file__, "writer", "--home", str(home)]
    started = time.perf_counter()
    children = [subprocess.Popen(command) for _ in range(2)]
    codes = [child.wait() for child in children]
    store = open_store(home)
    turns = [item.turns for item in store.list(None)]
    print(f"two writers: exit codes {codes}, turns {turns}, {time.perf_counter() - started:.1f} s")
    store.close()


def write_turns(home: Path, count: int = 1000) -> None:
    store = open_store(home)
    conversation = Conversation()
    for number in range(count):
        question, reply = f"question {number}", Message("assistant", "yes", finish_reason="stop")
        turn = store.begin(conversation, question, params=PARAMS, model="bench")
        store.complete(turn, reply)
        conversation.messages += [Message("user", question), reply]
    store.close()


if __name__ == "__main__":
    main()
