"""What the first lines tell before a model is loaded: whether it is the right kind of file, and
whether any line has a field that is asked for, or a prompt.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from glmcli.cli.asking.each.filling import WHOLE_LINE, FilledPrompt, there_are
from glmcli.cli.asking.each.lines import LINES_AHEAD, NAME_OF_STDIN, LineReader, RawLine
from glmcli.cli.asking.each.tasks import LINE_FIELDS, LineForm, line_text, what_it_needs
from glmcli.errors import UsageError
from glmcli.files import parse_json
from glmcli.harmless import quoted
from glmcli.language import ntr, tr

_BEGUN = re.compile(rb'\s*(\[\s*($|[{"])|\{\s*($|"))')
"""How a line begins that is the first one of JSON over several lines."""
TABLES = (".csv", ".tsv")


def check_start(reader: LineReader, form: LineForm, stopped: Callable[[], bool]) -> Iterator[str]:
    """What is to be said of the first lines. Raises UsageError where all would be wrong; Killed."""
    lines = reader.ahead(stopped)
    values = [json_line(line.data) for line in lines]
    if not lines:
        return
    objects = [value for value in values if isinstance(value, dict)]
    is_object = isinstance(values[0], dict)
    if not is_object and 2 * len(objects) <= len(lines):
        check_several(reader.name, lines, values[0])
    if not is_object and 2 * len(objects) > len(lines) and form.is_json is None:
        raise UsageError(
            ntr(
                "line {line} of {name} is no JSON object, but {n:,} line behind it is",
                "line {line} of {name} is no JSON object, but {n:,} lines behind it are",
                len(objects),
                line=lines[0].number,
                name=reader.name,
            ),
            tr("take it out; in a file that is called .jsonl it would be an error of its own"),
        )
    if form.is_json or is_object:
        if reader.has_all or len(lines) >= LINES_AHEAD:
            looked_at = None if reader.has_all else len(lines)
            if not objects and all(map(is_legible, lines)):
                raise no_object(reader.name, looked_at)
            check_fields(form, objects, looked_at)
            check_prompts(form, objects, looked_at)
        return
    check_fields(form, [{WHOLE_LINE: ""}])
    if reader.has_all and len(lines) == 1 and b"\r" in lines[0].data:
        yield tr(
            "the lines of {name} end with CR alone: all of it is one prompt; tr '\\r' '\\n' makes"
            " lines of it",
            name=reader.name,
        )
    if Path(reader.name).suffix.lower() in TABLES:
        yield tr(
            "{name} is not read as a table: each of its lines is a prompt, the first too",
            name=reader.name,
        )


def json_line(line: bytes) -> Any:
    """What a line is as JSON; nothing if it is none."""
    with suppress(UsageError, UnicodeDecodeError):
        return parse_json(line.decode("utf-8"), "")
    return None


def check_several(name: str, lines: list[RawLine], first: Any) -> None:
    """Raise UsageError for JSON that is not an object a line."""
    is_alone = len(lines) == 1
    is_list = lines[0].data.lstrip().startswith(b"[")
    if is_alone if isinstance(first, list) else not is_alone and _BEGUN.match(lines[0].data):
        words = ["jq", "-c", ".[]" if is_list else ".", *([name] if name != NAME_OF_STDIN else [])]
        raise UsageError(
            tr("{name} is JSON, but not an object a line", name=name),
            tr("{command} makes it so", command=shlex.join(words)),
        )


def is_legible(line: RawLine) -> bool:
    """Whether a line can be read; else it has an error of its own."""
    with suppress(UsageError):
        line_text(line)
        return True
    return False


def no_object(name: str, looked_at: int | None) -> UsageError:
    """The error for lines that are to be objects, of which none is one, of so many."""
    message = tr("no line of {name} is a JSON object", name=name)
    if looked_at is not None:
        message = tr(
            "none of the first {n:,} lines of {name} is a JSON object", n=looked_at, name=name
        )
    return UsageError(
        message,
        tr('each needs a form like {{"prompt": "Hi"}}; a prompt a line needs another file name'),
    )


def check_prompts(
    form: LineForm, records: Sequence[Mapping[str, Any]], looked_at: int | None = None
) -> None:
    """Raise UsageError where no line, of so many, says what is to be asked, and nothing else."""
    if form.prompt or form.earlier_asks or not records:
        return
    if any(record.get(name) is not None for record in records for name in ("prompt", "messages")):
        return
    message = tr("no line has a prompt")
    if looked_at is not None:
        message = tr("none of the first {n:,} lines has a prompt", n=looked_at)
    fields = next(filter(None, map(fields_to_send, records)), {})
    if not fields:
        raise UsageError(message, what_it_needs())
    # What is to be asked is text, and longer than what only describes it.
    name = max(fields, key=lambda it: len(fields[it]) if isinstance(fields[it], str) else -1)
    way = tr('--prompt "{place}" sends a field of each line', place=f"{{{name}}}")
    raise UsageError(message, tr("; ").join([way, there_are(fields)]))


def fields_to_send(record: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a line that only `--prompt` can send."""
    return {
        name: value
        for name, value in record.items()
        if value is not None and name not in LINE_FIELDS and FilledPrompt.can_name(name)
    }


def check_fields(
    form: LineForm, records: Sequence[Mapping[str, Any]], looked_at: int | None = None
) -> None:
    """Raise UsageError for a field of the prompt that no line has, of so many."""
    for name in form.prompt.names if form.prompt and records else ():
        if any(record.get(name) is not None for record in records):
            continue
        message = tr("no line has a value for {name}", name=quoted(name))
        if looked_at is not None:
            message = tr(
                "none of the first {n:,} lines has a value for {name}",
                n=looked_at,
                name=quoted(name),
            )
        raise UsageError(message, there_are(records[0]))
