"""How lines are asked: what the options say, made of them before the first line is read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glmcli.cli.asking.each.filling import FilledPrompt
from glmcli.cli.asking.each.tasks import JSON_ENDINGS, LineForm
from glmcli.cli.asking.files import attached_files
from glmcli.cli.asking.role import in_frame, role_named
from glmcli.cli.opening import chosen_system, ready_settings
from glmcli.cli.options import read_messages, split_prompt
from glmcli.config import TYPED, Settings
from glmcli.engines import is_local
from glmcli.errors import UsageError
from glmcli.language import tr
from glmcli.types import Conversation

if TYPE_CHECKING:
    from glmcli.cli.asking.each.options import EachOptions
    from glmcli.cli.options import Load


def line_form(
    load: Load, options: EachOptions, typed: Mapping[str, Any], say: Callable[[str], None]
) -> tuple[Settings, LineForm]:
    """The settings, and how a line becomes a prompt. Raises GlmError, KeyboardInterrupt, Killed."""
    said, names = split_prompt(typed["words"] or [], typed["file"] or [], say=say)
    if said is not None:
        raise UsageError(
            tr("with --each the lines are the prompts"),
            tr('--prompt says what to do with each: --prompt "Translate: {{text}}"'),
        )
    filled = None if options.prompt is None else FilledPrompt(options.prompt)
    files = attached_files(names, yes=typed["yes"], say=say)
    role = role_named(typed["role"])
    settings = load(role=role)
    check_settings(settings, options)
    earlier = read_messages(typed["messages"]) if typed["messages"] is not None else Conversation()
    settings = ready_settings(settings, once=False)
    system = chosen_system(settings, role.system if role else None)
    is_json = Path(options.source).suffix.lower() in JSON_ENDINGS or None
    return settings, LineForm(
        settings.params,
        model=" ".join(filter(None, [settings.model, settings.adapter])),
        system=earlier.system if system is None else system,
        earlier=earlier.messages,
        prompt=filled,
        framed=lambda text: in_frame(text, role, has_files=bool(files)) or "",
        files=files,
        is_json=is_json,
    )


def check_settings(settings: Settings, options: EachOptions) -> None:
    """Raise UsageError for what was typed and cannot be followed."""
    if options.parallel is not None and options.parallel > 1 and is_local(settings.model):
        raise UsageError(
            tr("--parallel is for servers, not for {model}", model=settings.model),
            tr("leave it out: a model that is loaded here is given many lines at once"),
        )
    if settings.sources.get("context") == TYPED and settings.context not in ("auto", "stop"):
        raise UsageError(
            tr("--context {name} and --each do not go together", name=settings.context),
            tr("a line that is too long for the window has an error in place of an answer"),
        )
