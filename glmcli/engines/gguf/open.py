"""From the name of a GGUF model to its engine: file, header, window, llama.cpp, template."""

from __future__ import annotations

from glmcli.config import BUILT_IN_MODEL, Settings
from glmcli.engines.gguf.engine import GgufEngine
from glmcli.engines.gguf.process import LlamaProcess
from glmcli.engines.gguf.vocabulary import GgufTemplate
from glmcli.engines.local.prompt.rendering import OPENING_S, sharing
from glmcli.errors import ConfigError, ModelError, OutOfMemory
from glmcli.language import later, tr
from glmcli.machine import free_bytes
from glmcli.models.defaults import Defaults
from glmcli.models.gguf.finding import find_gguf, spoken_name
from glmcli.models.gguf.header import Header, read_gguf
from glmcli.models.libraries import check_llama
from glmcli.paths import absolute
from glmcli.types import Progress, Report

_UNSTATED_WINDOW, _SMALLEST_WINDOW = 4_096, 2_048
"""Of a file that states none; and what a window is not made smaller than by itself."""
_SHARE = 4
"""One part in so many of the memory that is free is what a window may take by itself."""
_STEP = 1_024
_OWN = {"temp": 0.8, "top_k": 40, "top_p": 0.95, "min_p": 0.05}
"""How llama.cpp draws where neither the file nor the user says."""
_CUT = later(
    "the window is {window:,} of the model's {trained:,} tokens, whose memory would take"
    " {size:.1f} GB; --window {trained} lifts that"
)
_BEYOND = later("the model was trained for {trained:,} tokens; beyond these it may write nonsense")


def open_engine(name: str, settings: Settings, report: Report) -> GgufEngine:
    """Open `gguf:NAME`. Raises ModelError, ConfigError, OutOfMemory."""
    options = settings.model_options
    is_built_in = name.removeprefix("gguf:") == BUILT_IN_MODEL  # which may have to be fetched
    file = None if is_built_in else find_gguf(name, options)
    check_llama()
    file = file or find_gguf(name, options, report)
    header = read_gguf(file.path, vocabulary=True)
    check_chats(header)
    window, note = window_for(header, options.window)
    shown = spoken_name(file.name)
    step = Progress("loading", note=shown)
    report(step)
    wanted = {
        "path": str(absolute(file.path)),
        "window": window,
        "threads": options.threads,
        "gpu": options.device != "cpu",
    }
    process = LlamaProcess(wanted, shown, lambda: report(step))
    try:
        if options.device not in ("auto", "cpu") and process.told.get("device") == "cpu":
            raise ConfigError(
                tr("--device {device}: this llama.cpp uses no GPU", device=options.device),
                tr("install an xllamacpp that was built for it, or leave --device out"),
            )
        with sharing(OPENING_S):
            template = GgufTemplate(header, lambda: process.server)
    except BaseException:
        process.close()
        raise
    return GgufEngine(
        tr("{name} (base model)", name=shown) if template.is_base else shown,
        process,
        template,
        defaults_of(header),
        bits=header.bits,
        context_tokens=window,
        news=[note],
    )


def check_chats(header: Header) -> None:
    """Raise ModelError for a file that holds no model that writes text."""
    kind = header.text("general.type")
    if header.family in ("clip", "whisper") or kind in ("mmproj", "adapter", "imatrix"):
        raise ModelError(
            tr("{name} is no model that answers: it is for {kind}", name=header.path.name,
               kind=kind or header.family),
            tr("give the file of the model itself"),
        )  # fmt: skip


def window_for(header: Header, wanted: int | None) -> tuple[int, str]:
    """The window, and a line about it if that is not the model's own. Raises OutOfMemory."""
    trained = fits = header.window or _UNSTATED_WINDOW
    a_token, free = header.token_bytes or 0, free_bytes()
    if free is not None and a_token:
        fits = max(0, free - header.size_bytes) // _SHARE // a_token // _STEP * _STEP
    window = wanted or min(trained, max(_SMALLEST_WINDOW, fits))
    needed = header.size_bytes + a_token * window
    if free is not None and needed > free:
        raise OutOfMemory(needed, free)
    if window < trained and wanted is None:
        return window, tr(_CUT, window=window, trained=trained, size=a_token * trained / 1e9)
    return window, tr(_BEYOND, trained=trained) if header.window and window > trained else ""


def defaults_of(header: Header) -> Defaults:
    """How the file wants to be sampled, else as llama.cpp does it."""
    stated = {name: header.fields.get(f"general.sampling.{name}") for name in _OWN}
    numbers = {
        name: value if isinstance(value, int | float) and 0 <= value < 1e6 else _OWN[name]
        for name, value in stated.items()
    }
    return Defaults(
        do_sample=True,
        temperature=float(numbers["temp"]),
        top_k=int(numbers["top_k"]),
        top_p=min(1.0, float(numbers["top_p"])),
        min_p=float(numbers["min_p"]),
    )
