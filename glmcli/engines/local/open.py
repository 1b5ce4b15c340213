"""From a model's name to its engine in this process: files, template and net."""

from __future__ import annotations

from dataclasses import replace

from glmcli.config import Settings
from glmcli.conversation.window import wider_line
from glmcli.engines.local.auto import open_as_asked
from glmcli.engines.local.engine import LocalEngine
from glmcli.engines.local.net.open import (
    begin_loading,
    naming_fields,
    silence_libraries,
)
from glmcli.engines.local.prompt.open import open_template
from glmcli.language import later, tr
from glmcli.models.checkpoint import find_checkpoint
from glmcli.models.choice import is_rounded
from glmcli.models.libraries import errors_of
from glmcli.models.meaning import stated_window, text_part
from glmcli.types import Report

ENDLESS = later("{runner}; its files name no id that ends a reply, its tokenizer and template do")
ROUNDED = later(
    "this model's float16 weights are rounded to bfloat16, in which this processor reads prompts "
    "faster; --dtype float16 or --dtype float32 keeps them exact"
)
DAMAGED = later("download it again; GLM_DEBUG=1 shows where it happened")


def open_engine(name: str, settings: Settings, report: Report) -> LocalEngine:
    """Open a model in this process. Raises ModelError, ConfigError, OutOfMemory."""
    options = settings.model_options
    checkpoint = find_checkpoint(name, options, report)
    begin_loading(checkpoint, report)
    what, hint = tr("opening {name}", name=checkpoint.name), tr(DAMAGED)
    # Foreign files, foreign code: it may be anything.
    with naming_fields(checkpoint), errors_of(what, hint):
        template, limit = open_template(checkpoint, options)
        model, lines = open_as_asked(checkpoint, options, report)
    silence_libraries()
    if not model.stop_ids:
        model = replace(model, runner=tr(ENDLESS, runner=model.runner))
    number_format = model.device.partition(" ")[2]
    loses = options.dtype == "auto" and is_rounded(checkpoint, number_format)
    limit, note = (limit, "") if options.window else model.defaults.within(limit)
    wider = wider_line(options.window, stated_window(text_part(checkpoint.config)))
    shown = checkpoint.name
    if checkpoint.adapter is not None:
        shown = tr("{name} with {adapter}", name=shown, adapter=checkpoint.adapter.folder.name)
    if template.is_base:
        shown = tr("{name} (base model)", name=shown)
    return LocalEngine(
        shown,
        model,
        template,
        context_tokens=limit,
        threads=options.threads,
        speculate=options.speculate,
        opening=lines,
        news=[wider, note, tr(ROUNDED) if loses else ""],
    )
