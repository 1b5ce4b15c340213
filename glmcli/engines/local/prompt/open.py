"""From a checkpoint to its template and window.

The only place outside net/ that may import transformers: for tokenizers that only it has.
"""

from __future__ import annotations

from typing import Any

from glmcli.config import Settings
from glmcli.engines.local.prompt import tokenizer as chat_tokenizer
from glmcli.engines.local.prompt.apart import errors_of, templates
from glmcli.engines.local.prompt.decoder import Template
from glmcli.engines.local.prompt.guarded import try_apart
from glmcli.engines.local.prompt.template import ChatTemplate
from glmcli.errors import ModelError, first_line
from glmcli.models.checkpoint import Checkpoint
from glmcli.models.library import config_of, window_of

SANE_WINDOW = 100_000_000
"""Tokenizers without a limit of their own say 10**30."""


def open_template(checkpoint: Checkpoint, settings: Settings) -> tuple[Template, int | None]:
    """The template of a checkpoint, and the window. Raises ModelError."""
    window = window_of(config_of(checkpoint.folder))
    if checkpoint.family == "chatglm":
        from glmcli.engines.local.prompt.chatglm.template import load_template

        try_apart(checkpoint.folder)
        own = load_template(checkpoint.config, checkpoint.folder, name=checkpoint.name)
        return own, window
    templates().start()  # it gets ready while the tokenizer is read
    tokenizer = load_tokenizer(checkpoint, settings)
    limits = [limit for limit in (window, tokenizer.model_max_length) if limit]
    limit = min(limits, default=SANE_WINDOW)
    return ChatTemplate(tokenizer), limit if limit < SANE_WINDOW else None


def load_tokenizer(checkpoint: Checkpoint, settings: Settings) -> Any:
    """The tokenizer as transformers has it, or the same without transformers. Raises ModelError."""
    folder, cache = checkpoint.folder, settings.cache
    if settings.fused and not checkpoint.remote_code:
        tokenizer = chat_tokenizer.proven(folder, cache, again=settings.verify)
        if tokenizer is not None:
            return tokenizer
    chat_tokenizer.try_out(folder, cache)
    from transformers import AutoTokenizer

    try:
        with errors_of("loading", ""):  # each tokenizer class fails in its own way
            own = AutoTokenizer.from_pretrained(
                folder, local_files_only=True, trust_remote_code=checkpoint.remote_code
            )
    except ModelError as exc:
        raise ModelError(
            f"{checkpoint.name}: the tokenizer cannot be read: {first_line(exc.__cause__ or exc)}",
            "the folder needs tokenizer.json and tokenizer_config.json: download it again",
        ) from exc
    if settings.history and not checkpoint.remote_code:
        chat_tokenizer.prove(folder, cache, own)
    return own
