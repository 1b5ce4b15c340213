"""A tokenizer and its chat template without transformers, whose import takes longer than a reply.

Only for checkpoints where both were found to be the very same as transformers' own, the first time
they were used: equal vocabulary and rules, equal special tokens, equal renderings. Templates are
programs from elsewhere, so they run in jinja2's sandbox.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from glmcli.engines.model_files import read_bytes, read_json, read_text
from glmcli.engines.verdicts import read_verdict, write_verdict

FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
END_MARK = "x3f9c0d1e7a52b846x"
"""Stands where a message that is to be continued ends; no template writes it."""
UNLIMITED = int(1e30)
REVISION = 1
PROBES: Sequence[tuple[list[dict[str, str]], dict[str, bool]]] = (
    ([{"role": "user", "content": " a <b>\n"}], {"add_generation_prompt": True}),
    (
        [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "你好"},
            {"role": "assistant", "content": "Yes.\n\nNo. "},
            {"role": "user", "content": "x"},
        ],
        {"add_generation_prompt": True},
    ),
    (
        [{"role": "user", "content": "x"}, {"role": "assistant", "content": " go on  "}],
        {"continue_final_message": True},
    ),
)


class ChatTokenizer:
    """What ChatTemplate needs of a tokenizer; the names are those of transformers' tokenizers.

    Raises ModelError, OSError, ValueError, or whatever `tokenizers` raises for files it cannot
    read.
    """

    def __init__(self, folder: Path) -> None:
        from tokenizers import Tokenizer

        config = read_json(folder / "tokenizer_config.json")
        self.backend_tokenizer: Any = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.backend_tokenizer.no_truncation()
        self.backend_tokenizer.no_padding()
        self.model_max_length = int(config.get("model_max_length") or UNLIMITED)
        self.special_tokens = {
            name: value["content"] if isinstance(value, dict) else value
            for name, value in config.items()
            if name.endswith("_token") and isinstance(value, str | dict)
        }
        path = folder / "chat_template.jinja"
        source = read_text(path) if path.exists() else config.get("chat_template")
        if source is not None and not isinstance(source, str):
            raise ValueError("several chat templates")
        self.chat_template: str | None = source
        self._compiled: Any = None

    @property
    def eos_token_id(self) -> int | None:
        """The id that ends a text."""
        return self._id_of("eos_token")

    @property
    def bos_token_id(self) -> int | None:
        """The id that starts a text."""
        return self._id_of("bos_token")

    def get_chat_template(self) -> str:
        """The source of the template."""
        return self.chat_template or ""

    def apply_chat_template(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        tokenize: bool = False,
        add_generation_prompt: bool = False,
        continue_final_message: bool = False,
        **options: Any,
    ) -> str:
        """The prompt as text. Raises whatever the template raises."""
        assert not tokenize, "ids are made by ChatTemplate"
        if self._compiled is None:
            self._compiled = compiled(self.get_chat_template())
        shown = [dict(message) for message in messages]
        if continue_final_message:
            shown[-1]["content"] += f"{END_MARK} "
        options = {"tools": None, "documents": None, **self.special_tokens, **options}
        rendered: str = self._compiled.render(
            messages=shown, add_generation_prompt=add_generation_prompt, **options
        )
        if not continue_final_message:
            return rendered
        text, mark, rest = rendered.rpartition(END_MARK)
        if not mark:
            raise ValueError("the template leaves out the message that is to be continued")
        return text if rest.startswith(" ") else text.rstrip()  # the template trims messages

    def _id_of(self, name: str) -> int | None:
        token = self.special_tokens.get(name)
        found: int | None = self.backend_tokenizer.token_to_id(token) if token else None
        return found


def compiled(source: str) -> Any:
    """A chat template, ready to be rendered in a sandbox. Raises jinja2.TemplateError."""
    from jinja2 import TemplateError, ext, sandbox

    def refuse(message: str) -> None:
        raise TemplateError(message)

    def as_json(value: Any, indent: int | None = None, **options: Any) -> str:
        return json.dumps(value, **{"ensure_ascii": False, "indent": indent, **options})

    environment = sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[ext.loopcontrols]
    )
    environment.filters["tojson"] = as_json  # jinja2's own is for HTML
    environment.globals["raise_exception"] = refuse
    environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    return environment.from_string(source)


def proven(folder: Path, cache: Path, *, again: bool) -> ChatTokenizer | None:
    """The tokenizer of a folder if it was found to be the same as transformers'; else None."""
    verdict = {} if again else read_verdict(verdict_path(folder, cache))
    return opened(folder) if verdict.get("same") else None


def prove(folder: Path, cache: Path, theirs: Any) -> None:
    """Write down whether the tokenizer of a folder is the same as `theirs`, transformers' own."""
    path = verdict_path(folder, cache)
    if not read_verdict(path):
        ours = opened(folder)
        write_verdict(path, {"same": ours is not None and same(ours, theirs)})


def opened(folder: Path) -> ChatTokenizer | None:
    """The tokenizer of a folder; None if its files are of another kind."""
    try:
        return ChatTokenizer(folder)
    except Exception:  # `tokenizers` raises nothing more special
        return None


def same(ours: ChatTokenizer, theirs: Any) -> bool:
    """Whether both give the same ids and the same prompts."""
    backend = getattr(theirs, "backend_tokenizer", None)
    if backend is None or rules(backend) != rules(ours.backend_tokenizer):
        return False
    for name in ("eos_token_id", "bos_token_id", "model_max_length", "chat_template"):
        if getattr(ours, name) != getattr(theirs, name):
            return False
    return not ours.chat_template or all(
        outcome(ours, messages, options) == outcome(theirs, messages, options)
        for messages, options in PROBES
    )


def rules(backend: Any) -> tuple[dict[str, Any], list[int]]:
    """All that makes ids of a text, and what is put before every text.

    Cutting and filling up is never asked for; what is put before a text may be said in many ways.
    """
    found: dict[str, Any] = json.loads(backend.to_str())
    for name in ("padding", "truncation", "post_processor"):
        found.pop(name, None)
    return found, backend.encode("").ids


def outcome(tokenizer: Any, messages: list[dict[str, str]], options: dict[str, bool]) -> str | None:
    """A rendering; None if the template refuses the messages."""
    try:
        text: str = tokenizer.apply_chat_template(messages, tokenize=False, **options)
    except Exception:  # a template is a program and may raise anything
        return None
    return text


def verdict_path(folder: Path, cache: Path) -> Path:
    """Where the verdict over these very files is kept."""
    digest = hashlib.sha256(f"{REVISION} {version('transformers')}".encode())
    for name in FILES:
        path = folder / name
        digest.update(name.encode() + (read_bytes(path) if path.exists() else b""))
    return cache / "proofs" / f"tokenizer-{digest.hexdigest()[:32]}.json"
