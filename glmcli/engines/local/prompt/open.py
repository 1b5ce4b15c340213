"""From a checkpoint to its template and window.

The only place outside net/ that may import transformers: for tokenizers that only it has.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from glmcli.config.models import ModelOptions
from glmcli.engines.local.building import library_config
from glmcli.engines.local.prompt import tokenizer as chat_tokenizer
from glmcli.engines.local.prompt.apart import templates
from glmcli.engines.local.prompt.decoder import PromptTemplate
from glmcli.engines.local.prompt.rendering import (
    ONLY,
    OPENING_S,
    TemplateFails,
    check_template,
    choose_template,
    sharing,
)
from glmcli.engines.local.prompt.template import ChatTemplate
from glmcli.errors import ModelError, UsageError, first_line
from glmcli.language import tr
from glmcli.models.checkpoint import Checkpoint
from glmcli.models.files.agreement import check_ids
from glmcli.models.libraries import errors_of, quiet
from glmcli.models.meaning import ids_of, text_part, trained_window
from glmcli.types import Message

SANE_WINDOW = 100_000_000
"""Tokenizers without a limit of their own say 10**30."""


def open_template(
    checkpoint: Checkpoint, options: ModelOptions
) -> tuple[PromptTemplate, int | None]:
    """The template of a checkpoint, and the window. Raises ModelError, ConfigError."""
    with quiet(), sharing(OPENING_S):
        template, window = find_template(checkpoint, options)
        check_ids(checkpoint.config, ids_of_hello(template))
    return template, window


def find_template(
    checkpoint: Checkpoint, options: ModelOptions
) -> tuple[PromptTemplate, int | None]:
    """The template of the family, and the window. Raises ModelError, ConfigError."""
    window = checkpoint.window
    if checkpoint.family == "chatglm":
        from glmcli.engines.local.prompt.chatglm.template import load_template

        if options.template:
            check_template(options.template, [ONLY])
        chat_tokenizer.try_out(checkpoint.folder, options.cache)
        own = load_template(checkpoint.config, checkpoint.folder, name=checkpoint.name)
        chat_tokenizer.note_harmless(checkpoint.folder, options.cache)
        return own, window
    templates().start()  # it gets ready while the tokenizer is read
    tokenizer = load_tokenizer(checkpoint, options)
    config = text_part(checkpoint.config)
    beyond = chat_tokenizer.ids_beyond(tokenizer.backend_tokenizer, ids_of(config))
    check_ids(checkpoint.config, beyond)
    theirs = tokenizer.model_max_length
    # The tokenizer may still state the window before it was widened.
    if options.window or theirs <= (trained_window(config) or 0):
        theirs = 0
    chat_tokenizer.take_template_beside(tokenizer, checkpoint.folder)
    choose_template(tokenizer, options.template)
    limit = min([limit for limit in (window, theirs) if limit], default=SANE_WINDOW)
    return ChatTemplate(tokenizer), limit if limit < SANE_WINDOW else None


def ids_of_hello(template: PromptTemplate) -> Sequence[int]:
    """The ids of a short conversation; none if the template refuses it."""
    hello = Message("user", "hello")
    try:
        return template.encode([hello, Message("assistant", "hello"), hello]).ids
    except (UsageError, TemplateFails):
        return []


def load_tokenizer(checkpoint: Checkpoint, options: ModelOptions) -> Any:
    """The tokenizer as transformers has it, or the same without transformers. Raises ModelError."""
    folder, cache = checkpoint.folder, options.cache
    if options.fused and not checkpoint.remote_code:
        tokenizer = chat_tokenizer.find_proven(folder, cache, again=options.verify)
        if tokenizer is not None:
            return tokenizer
    chat_tokenizer.try_out(folder, cache)
    import transformers

    # It would be read for the tokenizer too, which would be blamed then.
    if checkpoint.remote_code or checkpoint.family in transformers.CONFIG_MAPPING:
        library_config(checkpoint, transformers)

    try:
        with errors_of(
            tr("the model's tokenizer"), ""
        ):  # each tokenizer class fails in its own way
            own = transformers.AutoTokenizer.from_pretrained(
                folder, local_files_only=True, trust_remote_code=checkpoint.remote_code
            )
    except ModelError as exc:
        raise ModelError(
            tr(
                "{name}: the tokenizer cannot be read: {why}",
                name=checkpoint.name,
                why=first_line(exc.__cause__ or exc),
            ),
            tr("the folder needs tokenizer.json and tokenizer_config.json: download it again"),
        ) from exc
    # The finding is for the next start: this one has transformers' own in any case.
    if cache.may_write and not checkpoint.remote_code:
        chat_tokenizer.prove(folder, cache, own)
    return own
