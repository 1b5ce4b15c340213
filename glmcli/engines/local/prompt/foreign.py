"""Runs the programs that come with a checkpoint; a process of its own, started by apart.py.

It may be stopped at any moment, takes no more memory than it is allowed, and has nothing that is
worth taking. It reads jobs from stdin and answers on stdout, a length and JSON each. It is run as a
file and imports nothing of this package. A job that needs too much of something ends it.
"""

from __future__ import annotations

import fcntl
import json
import os
import resource
import select
import sys
import time
from base64 import b64decode
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from datetime import datetime
from functools import lru_cache
from itertools import takewhile
from pathlib import Path
from typing import IO, Any

_LENGTH = 8
"""Bytes of a length."""
_LONGEST_TOKEN = 1_000
"""Letters; the longest tokens there are have about 128."""
_MOST_TOKENS = 500_000
"""Twice what the largest models for chats have."""
_MOST_PARTS = 100_000_000
"""Letters of all halves of all tokens: libraries that look for merges cut each at each place."""

MOST_ADDED = 70_000
"""Tokens beside the model's own, each of which is an object; Gemma 3 has 6,400."""


class TooMuch(Exception):
    """A program goes beyond a limit, which the text names: see STOPPED in apart.py."""


def main() -> None:
    """Answer jobs until stdin ends."""
    alive, memory, *sys.path[:] = sys.argv[1:]
    end_with(int(alive))
    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (int(memory), most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    while (job := receive(sys.stdin.buffer)) is not None:
        limit_cpu(job.pop("cpu_s"))
        before = time.process_time()
        found = answer(job)
        send(sys.stdout.buffer, {**found, "taken_s": time.process_time() - before})


def end_with(alive: int) -> None:
    """Let the system end this process when the other end of a pipe is gone, however it went.

    What runs here may hold the interpreter for as long as it likes: nothing in Python could look.
    Nothing is ever written to the pipe, so a signal can only mean the end. (That of stdin may also
    mean a job that was read before its writer had come back from writing it.)
    """
    fcntl.fcntl(alive, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(alive, fcntl.F_SETFL, fcntl.fcntl(alive, fcntl.F_GETFL) | os.O_ASYNC)
    if select.select([alive], [], [], 0)[0]:  # it went before the signal was asked for
        sys.exit()


def answer(job: dict[str, Any]) -> dict[str, Any]:
    """What a job returns, or why it returns nothing."""
    try:
        return {"value": JOBS[job.pop("do")](**job)}
    except TooMuch as exc:
        return {"limit": str(exc)}
    except MemoryError:
        return {"limit": "memory"}
    except RecursionError:
        return {"limit": "depth"}
    except BaseException as exc:  # a foreign program may raise anything, a Rust panic too
        if isinstance(exc, OverflowError) or "Exceeds the limit" in str(exc):
            return {"limit": "count"}
        kinds = [kind.__name__ for kind in type(exc).__mro__]
        return {"error": str(exc)[:2000].strip() or kinds[0], "kinds": kinds}


def limit_cpu(seconds: float) -> None:
    """Let the system end this process when a job has taken so much of the processor."""
    _, most = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (int(time.process_time() + seconds) + 1, most))


def send(stream: IO[bytes], message: dict[str, Any]) -> None:
    """Write a message: its length, and JSON."""
    data = json.dumps(message, ensure_ascii=False).encode("utf-8", "surrogatepass")
    stream.write(len(data).to_bytes(_LENGTH, "little") + data)
    stream.flush()


def receive(stream: IO[bytes], *, most: int = sys.maxsize) -> dict[str, Any] | None:
    """The next message; None at the end, in place of half a message, and of more than `most`."""
    head = stream.read(_LENGTH)
    size = int.from_bytes(head, "little")
    if len(head) < _LENGTH or size > most:
        return None
    data = stream.read(size)
    if len(data) < size:
        return None
    found: dict[str, Any] = json.loads(data.decode("utf-8", "surrogatepass"))
    return found


def render(source: str, values: dict[str, Any], letters: int) -> str:
    """A chat template's text of at most so many letters."""
    pieces = []
    for piece in compile_template(source).generate(**values):
        pieces.append(piece)
        letters -= len(piece)
        if letters < 0:
            raise TooMuch("length")
    return "".join(pieces)


@lru_cache(maxsize=4)
def compile_template(source: str) -> Any:
    """A chat template in jinja2's sandbox, with all that transformers offers it."""
    from jinja2 import ext, sandbox

    environment = sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[generation_tag(), ext.loopcontrols]
    )
    environment.filters["tojson"] = as_json  # jinja2's own is for HTML
    environment.globals |= {
        "raise_exception": refuse,
        "strftime_now": lambda form: datetime.now().strftime(form),
        "dict": Dict(),
        "namespace": namespace(),
    }
    return environment.from_string(source)


def generation_tag() -> type:
    """The tag around what an assistant said: it marks, and changes nothing."""
    from jinja2 import ext, nodes

    class Generation(ext.Extension):
        tags = {"generation"}  # noqa: RUF012

        def parse(self, parser: Any) -> Any:
            """The block, as a call that returns its text."""
            line = next(parser.stream).lineno
            body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
            return nodes.CallBlock(self.call_method("_said"), [], [], body).set_lineno(line)

        def _said(self, caller: Callable[[], str]) -> str:
            return caller()

    return Generation


def namespace() -> type:
    """jinja2's namespace, without names that begin with an underscore."""
    from jinja2 import utils
    from jinja2.exceptions import SecurityError

    def check_name(name: Any) -> None:
        if isinstance(name, str) and name.startswith("_"):
            raise SecurityError(f"a namespace takes no name like {name!r}")

    class Namespace(utils.Namespace):
        def __init__(*args: Any, **values: Any) -> None:
            names = dict(*args[1:], **values)
            for name in names:
                check_name(name)
            utils.Namespace.__init__(args[0], names)

        def __setitem__(self, name: str, value: Any) -> None:
            check_name(name)
            super().__setitem__(name, value)

    return Namespace


class Dict:
    """Makes dictionaries, and has no other attribute of the type."""

    def __call__(self, *pairs: Any, **values: Any) -> dict[Any, Any]:
        """A dictionary."""
        return dict(*pairs, **values)

    def fromkeys(self, *keys: Any) -> dict[Any, Any]:
        """A dictionary with these keys."""
        return dict.fromkeys(*keys)


def refuse(message: str) -> None:
    """Raise the error with which a template refuses a conversation."""
    from jinja2 import TemplateError

    raise TemplateError(message)


def as_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: Any = None,
    sort_keys: bool = False,
) -> str:
    """A value as JSON, with the options that transformers gives to templates."""
    return json.dumps(
        value,
        ensure_ascii=ensure_ascii,
        indent=indent,
        separators=separators,
        sort_keys=sort_keys,
    )


BACKENDS: dict[bool, Any] = {}
"""The tokenizer that was loaded, and the same whose control tokens are plain text."""


class NoTokenizer(ValueError):
    """A file is no tokenizer, whatever is done with it; the text says why."""


def load_backend(text: str = "", path: str = "") -> None:
    """Take a tokenizer.json, and make and read a short text with it."""
    from tokenizers import Tokenizer

    try:
        backend = Tokenizer.from_file(path) if path else Tokenizer.from_str(text)
    except Exception as exc:  # the library has no other class for it
        raise NoTokenizer(str(exc)) from exc
    backend.no_padding()
    backend.no_truncation()
    check_tokens(backend.get_vocab())
    if len(backend.get_added_tokens_decoder()) > MOST_ADDED:
        raise TooMuch("added")
    BACKENDS[False] = backend
    ids = backend.encode_batch(["Hello, 1 + 1 = 2.\n\n你好 "], add_special_tokens=False)[0].ids
    backend.decode(ids)


def load_pieces(path: str) -> None:
    """Read a tokenizer.model of SentencePiece, if it is one."""
    load_ranks(path)  # of a file that is none, transformers takes these
    from sentencepiece import SentencePieceProcessor

    pieces = SentencePieceProcessor(model_file=path)
    check_tokens(map(pieces.id_to_piece, range(pieces.vocab_size())))


def load_ranks(path: str) -> None:
    """Read a vocabulary of tiktoken, as far as it is one."""
    check_tokens(takewhile(bool, map(token_of, stripped_lines(path))))


def token_of(line: bytes) -> bytes:
    """The token of a line of tiktoken, a rank after it; empty if it is no such line."""
    parts = line.split()
    with suppress(ValueError):
        return b64decode(parts[0], validate=True) if len(parts) == 2 else b""
    return b""


def load_lines(path: str) -> None:
    """Read a file of tokens or merges, one a line."""
    check_tokens(stripped_lines(path))


def stripped_lines(path: str) -> Iterator[bytes]:
    """The lines of a file, without their ends."""
    with Path(path).open("rb") as file:
        yield from map(bytes.strip, file)


def load_words(path: str) -> None:
    """Read a JSON object whose names are tokens."""
    check_tokens(token_json(path))


def load_tekken(path: str) -> None:
    """Read a JSON object with a list of tokens, each an object."""
    check_tokens(token["token_bytes"] for token in token_json(path)["vocab"])


def token_json(path: str) -> Any:
    """A JSON file that has not many more lists and objects than tokens may be."""
    text = Path(path).read_text(encoding="utf-8")
    if text.count("[") + text.count("{") > 2 * _MOST_TOKENS:
        raise TooMuch("tokens")
    return json.loads(text)


def check_tokens(tokens: Iterable[str | bytes]) -> None:
    """Raise TooMuch for a token of which a reply would have gigabytes, and for too many."""
    parts = 0
    for count, length in enumerate(map(len, tokens)):
        parts += length * length
        if length > _LONGEST_TOKEN:
            raise TooMuch("token")
        if count >= _MOST_TOKENS:
            raise TooMuch("tokens")
        if parts > _MOST_PARTS:
            raise TooMuch("long")


def spell_out(controls: list[str], anchors: list[str]) -> None:
    """Make the second tokenizer, to which the control tokens are text."""
    BACKENDS[True] = spelled_out(BACKENDS[False], controls, anchors)


def spelled_out(tokenizer: Any, controls: Iterable[str], anchors: Iterable[str]) -> Any:
    """A copy of a tokenizer to which `controls` are text and `anchors` tokens.

    The first of these is found before a text is normalized, the second after.
    """
    from tokenizers import AddedToken, Tokenizer

    backend = Tokenizer.from_str(tokenizer.to_str())
    backend.add_special_tokens([AddedToken(text, special=True) for text in controls])
    backend.add_tokens([AddedToken(text, normalized=bool(n)) for n, text in enumerate(anchors)])
    backend.encode_special_tokens = True
    return backend


def encode(text: str, plain: bool = False, special: bool = False) -> tuple[list[int], list[Any]]:
    """The ids of a text, and where each begins and ends."""
    found = BACKENDS[plain].encode_batch([text], add_special_tokens=special)[0]
    return found.ids, found.offsets


def decode_ids(ids: list[int], skip_special_tokens: bool = True) -> str:
    """The text of ids."""
    text: str = BACKENDS[False].decode(ids, skip_special_tokens=skip_special_tokens)
    return text


JOBS: dict[str, Callable[..., Any]] = {
    "render": render,
    "load": load_backend,
    "load_pieces": load_pieces,
    "load_ranks": load_ranks,
    "load_lines": load_lines,
    "load_words": load_words,
    "load_tekken": load_tekken,
    "spell_out": spell_out,
    "encode": encode,
    "decode": decode_ids,
}

if __name__ == "__main__":
    main()
