"""What `glm bench` found, as rows and JSON. Knows nothing of how it was measured.

Names of rows and columns are texts of `later`: in English for programs, translated for people.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from glmcli.config import Settings
from glmcli.config.models import AUTO
from glmcli.language import later
from glmcli.measure.speed import Plan, Sample, Timings
from glmcli.terminal.phrases import size

if TYPE_CHECKING:
    from glmcli.engines.local.net.divergence import Quality

HEAD = (
    later("prompt tokens"),
    later("prefill"),
    later("first token"),
    later("next turn's first token"),
    later("decode"),
)
"""The columns of `rows`."""


@dataclass(slots=True)
class BenchResult:
    """One measurement of one model; None where something is not known."""

    model: str
    plan: Plan
    timings: Timings
    name: str = ""
    device: str = ""
    runs_as: str = ""
    """What the engine says of how it runs, after it did."""
    threads: int | None = None
    """Processor threads of the engine in this process, as it has chosen them."""
    weight_bytes: int | None = None
    """Bytes of weights that are read for each token."""
    peak_bytes: int | None = None
    """The most memory that the process had."""
    device_peak_bytes: int | None = None
    """The most memory that it had on a CUDA device."""
    bandwidth: float | None = None
    """Bytes per second that the memory of the device gives."""

    @property
    def cold_first_token_s(self) -> float | None:
        """From the start of loading to the first token of the first reply."""
        load_s, cold = self.timings.load_s, self.timings.cold
        if load_s is None or cold is None or cold.first_s is None:
            return None
        return load_s + cold.first_s

    @property
    def decode_tokens_per_s(self) -> float | None:
        """At the shortest prompt."""
        speeds = self.timings.speeds
        return speeds[0].decode_tokens_per_s if speeds else None

    @property
    def bandwidth_share(self) -> float | None:
        """How much of the bandwidth the weights take that are read while decoding; 1 is all."""
        speed = self.decode_tokens_per_s
        if not self.bandwidth or self.weight_bytes is None or speed is None:
            return None
        return self.weight_bytes * speed / self.bandwidth

    def facts(self) -> list[tuple[str, str]]:
        """(what, how much) of all that is known but the speeds."""
        share, bandwidth = self.bandwidth_share, self.bandwidth
        values = [
            (later("model"), self.name or self.model),
            (later("device"), self.device),
            (later("runs as"), self.runs_as),
            (later("processor threads"), "" if self.threads is None else str(self.threads)),
            (later("weights read per token"), size(self.weight_bytes)),
            (later("load"), seconds(self.timings.load_s)),
            (later("load and first token"), seconds(self.cold_first_token_s)),
            (later("peak memory"), size(self.peak_bytes)),
            (later("peak device memory"), size(self.device_peak_bytes)),
            (later("memory bandwidth"), "" if bandwidth is None else f"{bandwidth / 1e9:.1f} GB/s"),
            (later("share of it used in decoding"), "" if share is None else f"{share:.0%}"),
        ]
        return [(name, value) for name, value in values if value]

    def rows(self) -> list[tuple[str, ...]]:
        """The medians at each length of the prompt."""
        return [
            (
                "" if item.prompt_tokens is None else f"{item.prompt_tokens:,}",
                rate(item.prefill_tokens_per_s),
                seconds(item.first_token_s),
                seconds(item.next_turn_s),
                rate(item.decode_tokens_per_s),
            )
            for item in self.timings.speeds
        ]

    def as_json(self) -> dict[str, Any]:
        """Everything, in seconds, bytes and tokens; the single runs too."""
        timings = self.timings
        return {
            "model": self.model,
            "name": self.name,
            "device": self.device,
            "runs_as": self.runs_as,
            "threads": self.threads,
            "weight_bytes": self.weight_bytes,
            "load_s": timings.load_s,
            "cold_first_token_s": self.cold_first_token_s,
            "peak_bytes": self.peak_bytes,
            "device_peak_bytes": self.device_peak_bytes,
            "bandwidth_bytes_per_s": self.bandwidth,
            "bandwidth_share": self.bandwidth_share,
            "reply_tokens": self.plan.tokens,
            "speeds": [asdict(item) for item in timings.speeds],
            "runs": list(self._runs()),
        }

    def _runs(self) -> Iterator[dict[str, Any]]:
        for length, runs in sorted(self.timings.runs.items()):
            for run in runs:
                yield {
                    "asked_tokens": length,
                    "first": numbers_of(run.first),
                    "next_turn": numbers_of(run.next_turn),
                }


def numbers_of(sample: Sample) -> dict[str, Any]:
    """A sample without its text."""
    return {key: value for key, value in asdict(sample).items() if key != "text"}


def in_certain_bits(settings: Settings) -> Settings:
    """The settings with what `--quantize auto` takes now. Raises ModelError."""
    if settings.quantize != AUTO:
        return settings
    from glmcli.models.choice import to_try, ways_here

    ways = ways_here(settings, lambda step: None)
    return replace(settings, quantize=to_try(ways)[0].quantize)


def quality_rows(found: Quality, chosen: Settings, full: Settings) -> list[tuple[str, str]]:
    """(what, how much) of a comparison."""

    def bits(settings: Settings) -> str:
        return settings.dtype if settings.quantize == "none" else settings.quantize

    against = bits(full) if bits(full) != "auto" else "none"
    return [
        (later("model"), chosen.model),
        (later("compared"), f"{bits(chosen)} / {against}"),
        (later("positions"), f"{found.positions:,}"),
        (later("KL divergence, mean"), f"{found.mean:.3g} nats"),
        (later("KL divergence, 99th percentile"), f"{found.p99:.3g} nats"),
        (later("KL divergence, worst"), f"{found.worst:.3g} nats"),
        (later("same most likely token"), f"{found.same_best:.1%}"),
    ]


def seconds(value: float | None) -> str:
    """A time for a person: "0.034 s", "12.1 s"."""
    if value is None:
        return ""
    return f"{value:.3f} s" if value < 1 else f"{value:.2f} s" if value < 10 else f"{value:.1f} s"


def rate(value: float | None) -> str:
    """Tokens per second for a person."""
    return "" if value is None else f"{value:,.1f} tok/s" if value < 100 else f"{value:,.0f} tok/s"
