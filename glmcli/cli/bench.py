"""`glm bench`: how fast a model answers on this machine, and what fewer bits cost.

A table on a terminal, tab-separated lines in a pipe, JSON with --json. Knows nothing of how it is
measured: see measure/speed.py, engines/local/net/meter.py and measure/quality.py.
"""

from __future__ import annotations

import signal
import sys
from contextlib import closing
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from glmcli.cli.options import MODEL_OPTIONS, ModelArgument, with_settings
from glmcli.config import Settings
from glmcli.errors import UsageError
from glmcli.language import tr

if TYPE_CHECKING:
    from glmcli.engines import Engine
    from glmcli.measure.result import BenchResult
    from glmcli.measure.speed import Plan


@with_settings(*MODEL_OPTIONS)
def bench(
    settings: Settings,
    name: ModelArgument = None,
    runs: Annotated[
        int, typer.Option("-n", "--runs", min=1, help=tr("runs; medians are shown"))
    ] = 3,
    tokens: Annotated[int, typer.Option(min=2, help=tr("tokens of each reply"))] = 64,
    prompts: Annotated[
        str, typer.Option(metavar="N,N…", help=tr("tokens of the prompts"))
    ] = "100,1000,4000",
    quality: Annotated[
        bool,
        typer.Option(
            "--quality", help=tr("how far --quantize or --dtype is from the model in full")
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help=tr("print JSON"))] = False,
) -> None:
    """Measure how fast a model answers.

    With --quality: how far a model in fewer bits is from itself in full, as the divergence of what
    both expect after each token of a text of about 1,000 tokens.
    """
    from glmcli.measure.speed import Plan

    settings = with_named_model(settings, name, tr("measure one after the other"))
    if quality:
        show_quality(settings, as_json=as_json)
        return
    plan = Plan(lengths=lengths_of(prompts), tokens=tokens, runs=runs)
    found, stopped = measured(settings, plan)
    if as_json:
        from glmcli.cli.tables import print_json

        print_json(found.as_json())
    else:
        show_result(found)
    if stopped:
        end_by_interrupt()


def with_named_model(settings: Settings, model: str | None, hint: str) -> Settings:
    """The settings with the model of an argument. Raises UsageError, with `hint`, for two."""
    if model is None:
        return settings
    if settings.sources.get("model") == "option" and settings.model != model:
        raise UsageError(tr("two models are named"), hint)
    return replace(settings, model=model, sources={**settings.sources, "model": "option"})


def lengths_of(text: str) -> tuple[int, ...]:
    """The numbers in "100,1000". Raises UsageError."""
    try:
        lengths = tuple(int(part) for part in text.split(","))
    except ValueError:
        lengths = ()
    if not lengths or min(lengths) < 1:
        raise UsageError(
            tr("--prompts is {text!r}", text=text), tr("give whole numbers, as in 100,1000,4000")
        )
    return lengths


def measured(settings: Settings, plan: Plan) -> tuple[BenchResult, bool]:
    """Everything that can be measured, and whether an interrupt ended it before it was done.

    Without guesses, which some texts make many of and others none, unless they are asked for.
    """
    import time

    from glmcli.engines import check_followed, folder_lines, is_local, open_alone, split_name
    from glmcli.measure.result import BenchResult
    from glmcli.measure.speed import Timings, measure
    from glmcli.terminal.output import outputs
    from glmcli.terminal.phrases import progress_forms
    from glmcli.terminal.replies.text import StatusLine

    check_followed(settings)
    settings = replace(settings, speculate=settings.speculate or False)
    err = outputs(settings.plain)[1]
    for line in folder_lines(settings):
        err.say(f"{line}\n")
    status = StatusLine(err)
    found = BenchResult(model=settings.model, plan=plan, timings=Timings())
    is_checkpoint = split_name(settings.model)[0] == "local"
    try:
        started = time.perf_counter()
        engine = open_alone(
            settings, lambda step: status.say(*progress_forms(step, None)), tell=status.say_line
        )
        with closing(engine):
            if is_local(settings.model):
                found.timings.load_s = time.perf_counter() - started
            found.name, found.device = engine.name, engine.device
            for step in measure(engine, plan, found.timings):
                status.say(step)
            found.runs_as = engine.details
            if is_checkpoint:
                status.say(tr("memory"))
                look_at_hardware(found, engine, settings)
    except KeyboardInterrupt:
        return found, True
    finally:
        status.clear()
    return found, False


def look_at_hardware(found: BenchResult, engine: Engine, settings: Settings) -> None:
    """Add what only an engine in this process can be asked for."""
    from glmcli.engines import split_name
    from glmcli.engines.local.net import meter

    device = settings.device if ":" in settings.device else engine.device.partition(" ")[0]
    # First, since the measurement of the bandwidth takes memory too.
    found.peak_bytes = meter.peak_bytes()
    found.device_peak_bytes = meter.device_peak_bytes(device)
    found.threads = meter.threads()
    found.weight_bytes = meter.weight_bytes(
        engine, split_name(settings.model)[1], settings.model_options
    )
    found.bandwidth = meter.bandwidth(device)


def show_result(found: BenchResult) -> None:
    """Both tables."""
    from glmcli.cli.tables import print_facts, print_rows
    from glmcli.measure.result import HEAD

    print_facts(found.facts())
    if found.timings.speeds:
        if sys.stdout.isatty():
            print()
        print_rows(HEAD, found.rows())


def show_quality(settings: Settings, *, as_json: bool) -> None:
    """Compare the chosen net with the same net in full, and show the divergence."""
    from glmcli.engines import split_name
    from glmcli.measure.result import in_certain_bits, quality_rows
    from glmcli.measure.speed import sample_text

    if split_name(settings.model)[0] != "local":
        raise UsageError(
            tr("--quality needs a model in this process"), tr("give a folder or a hub id")
        )
    settings = in_certain_bits(settings)
    full = in_full(settings)
    from glmcli.cli.tables import print_facts, print_json
    from glmcli.engines.local.net.divergence import Divergence
    from glmcli.measure.quality import compare
    from glmcli.terminal.output import outputs
    from glmcli.terminal.phrases import progress_forms
    from glmcli.terminal.replies.text import StatusLine

    status, found, stopped = StatusLine(outputs(settings.plain)[1]), Divergence(), False
    try:
        compare(
            full,
            settings,
            sample_text(),
            found,
            lambda step: status.say(*progress_forms(step, None)),
            status.say_line,
            lambda done, total: status.say(
                tr("comparing") + tr(", {done:,} of {total:,}", done=done, total=total)
            ),
        )
    except KeyboardInterrupt:
        stopped = True
    finally:
        status.clear()
    result = found.result()
    if result and as_json:
        chosen = {"model": settings.model, "quantize": settings.quantize, "dtype": settings.dtype}
        against = {"quantize": full.quantize, "dtype": full.dtype}
        print_json({**chosen, "against": against, **asdict(result)})
    elif result:
        print_facts(quality_rows(result, settings, full))
    if stopped:
        end_by_interrupt()


def in_full(settings: Settings) -> Settings:
    """What the chosen net is compared with: no quantisation, or else float32. Raises UsageError."""
    if settings.quantize != "none":
        return replace(settings, quantize="none")
    if settings.dtype == "float32":
        raise UsageError(
            tr("--quality compares fewer bits with the model in full, and none were asked for"),
            tr("leave --dtype out, or add --quantize int8"),
        )
    return replace(settings, dtype="float32")


def end_by_interrupt() -> NoReturn:
    """End as Ctrl-C ends a program, once what was measured is printed."""
    from glmcli.terminal.signals import Killed

    sys.stdout.flush()
    raise Killed(signal.SIGINT)
