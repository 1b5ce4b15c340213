"""Answers that real servers gave, to be given again: whole, in pieces, or cut off."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Event

import httpx

from glmcli.engines.remote.http import Server
from glmcli.types import Chunk

FOLDER = Path(__file__).parents[1] / "data" / "transcripts"


@dataclass(frozen=True, slots=True)
class Transcript:
    name: str
    path: str
    status: int
    headers: dict[str, str]
    complete: bool
    body: bytes


def load_transcripts() -> dict[str, Transcript]:
    found = {}
    for file in sorted(FOLDER.glob("*.jsonl")):
        for line in file.read_text(encoding="utf-8").strip().split("\n"):
            fields = json.loads(line)
            fields["body"] = fields["body"].encode("utf-8")
            found[fields["name"]] = Transcript(**fields)
    return found


TRANSCRIPTS = load_transcripts()


class Pieces(httpx.SyncByteStream):
    """A body in the given pieces; the connection breaks after them unless it is complete."""

    def __init__(self, pieces: Iterable[bytes], *, complete: bool = True) -> None:
        self._pieces = list(pieces)
        self._complete = complete

    def __iter__(self) -> Iterator[bytes]:
        yield from self._pieces
        if not self._complete:
            raise httpx.RemoteProtocolError("peer closed connection without sending complete body")


def replayed(name: str) -> httpx.Response:
    """A transcript as it came."""
    old = TRANSCRIPTS[name]
    stream = Pieces([old.body], complete=old.complete)
    return httpx.Response(old.status, headers=old.headers, stream=stream)


Answer = str | httpx.Response | Callable[[httpx.Request], httpx.Response]


class FakeServer(httpx.MockTransport):
    """Answers each path with a transcript, a response, or a function; keeps all requests."""

    def __init__(self, **answers: Answer) -> None:
        self.answers: dict[str, Answer] = dict(answers)
        self.requests: list[httpx.Request] = []
        super().__init__(self._answer)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.answers.get(request.url.path.strip("/").replace("/", "_").replace("-", "_"))
        if answer is None:
            return httpx.Response(404, json={"detail": "Not Found"})
        if isinstance(answer, str):
            return replayed(answer)
        return answer if isinstance(answer, httpx.Response) else answer(request)

    def asked(self, path: str) -> list[httpx.Request]:
        return [request for request in self.requests if request.url.path == path]

    def body(self, path: str, index: int = -1) -> dict:
        return json.loads(self.asked(path)[index].content)


SILENT_SERVER = Server("http://server.test", transport=FakeServer())


class ScriptedExchange:
    """An exchange whose pieces are known; `fault` is raised after the last of them."""

    def __init__(self, pieces: Iterable[bytes], fault: Exception | None = None) -> None:
        self.server = SILENT_SERVER
        self.limit_s = self.within_s = self.server.silence_s
        self.started = 0.0
        self.closed = False
        self._pieces = pieces
        self._fault = fault

    def pieces(self, cancel: Event) -> Iterator[bytes]:
        yield from self._pieces
        if self._fault is not None:
            raise self._fault

    def expect(self, seconds: float) -> None:
        self.within_s = seconds

    def close(self) -> None:
        self.closed = True


def joined(chunks: Iterable[Chunk]) -> tuple[str, str, Chunk]:
    """(text, thinking, last chunk) of a reply; checks what holds for all replies."""
    chunks = list(chunks)
    assert all(chunk.finish_reason is None and chunk.usage is None for chunk in chunks[:-1])
    assert chunks[-1].finish_reason is not None
    text = "".join(chunk.text for chunk in chunks)
    return text, "".join(chunk.thinking for chunk in chunks), chunks[-1]


def positions(size: int, *, most: int = 200) -> range:
    """Where to cut `size` bytes: everywhere, or about `most` places if there are many."""
    stride = max(1, size // most)
    return range(0, size + 1, stride if stride % 2 or stride == 1 else stride + 1)
