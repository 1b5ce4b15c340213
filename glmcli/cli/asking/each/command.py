"""What `glm ask --each` does with its options: lines, engine and output are put together here."""

from __future__ import annotations

import os
import stat
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from threading import Event
from typing import TYPE_CHECKING, Any

from glmcli.cli.dialog import say_notice
from glmcli.cli.opening import Interrupted
from glmcli.config import Settings, demonstration
from glmcli.language import tr
from glmcli.paths import path_of

if TYPE_CHECKING:
    from glmcli.cli.asking.each.options import EachOptions


def ask_each(load: Callable[..., Settings], options: EachOptions, typed: Mapping[str, Any]) -> None:
    """Answer each line of a file. `typed` are the other arguments of `ask`.

    Raises GlmError, also where a line was not answered; Interrupted, Killed, PipeClosed.
    """
    from glmcli.cli.asking.each import run
    from glmcli.cli.asking.each.done import earlier_run
    from glmcli.cli.asking.each.form import line_form
    from glmcli.cli.asking.each.lines import count_lines, open_lines
    from glmcli.cli.asking.each.results import Results
    from glmcli.cli.asking.each.work import way_to_answers
    from glmcli.terminal.leaving import install_signals
    from glmcli.terminal.output import outputs, read_aloud
    from glmcli.terminal.replies.text import StatusLine

    out, err = outputs()
    quiet = typed["quiet"]
    say = partial(say_notice, err, quiet)
    reader = open_lines(options.source)
    settings, form = line_form(load, options, typed, say)
    earlier = earlier_run(options.skip_done, reader, out)
    if options.source == "-" and sys.stdin.isatty():
        say(tr("type a prompt a line; Ctrl-D ends them"))
    cancel, started = Event(), time.monotonic()
    install_signals(cancel.set)
    out = earlier.out if earlier else out
    read_aloud(settings.plain, out, err)
    for output in (out, err):
        output.is_stopped = cancel.is_set
    status = StatusLine(err) if err.is_tty and not quiet else None
    before = status.clear if status else lambda: None
    results = Results(out, in_order=not options.unordered, before=before)
    left = run.LinesLeft(reader, form, earlier, cancel)
    total = count_lines(path_of(options.source)) if status and options.source != "-" else None
    is_pipe = stat.S_ISFIFO(os.fstat(out.fd).st_mode)
    how_far = run.HowFar(
        status, left, results, total=total, is_reader=err.is_reader, is_pipe=is_pipe
    )
    for line in left.check_start():
        say(line)
    if left.has_some():
        say("" if quiet else demonstration(settings))
        say(earlier.warning() if earlier else "")
        way = way_to_answers(settings, options.parallel, cancel)
        with run.told_of_a_stop(results, earlier):
            aloud, alike = partial(say_notice, err, False), run.Alike(earlier)
            run.write_answers(way, left, results, how_far, alike, cancel, aloud)
    if cancel.is_set():
        raise Interrupted
    for line in run.end_lines(reader, form, left, earlier, results):
        say(line)
    if settings.stats and settings.sources.get("stats") and not quiet:
        say(run.cost_of_lines(results.totals, started))
    run.check_all_answered(results, earlier)
