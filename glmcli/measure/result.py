"""What `glm bench` found, as rows, JSON and a plot. Knows nothing of how it was measured."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from glmcli.config import Settings
from glmcli.measure.plot import line_plot
from glmcli.measure.speed import Plan, Sample, Timings
from glmcli.messages import BENCH
from glmcli.terminal.phrases import plural, size

if TYPE_CHECKING:
    from glmcli.engines.local.net.divergence import Quality

HEAD = ("prompt", "prefill", "first", "next", "decode")


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

    def facts(self, *, chinese: bool = False) -> list[tuple[str, str]]:
        """(what, how much) of all that is known but the speeds."""
        share = self.bandwidth_share
        threads = "" if self.threads is None else str(self.threads)
        values = {
            "model": self.name or self.model,
            "device": self.device,
            "runs-as": self.runs_as,
            "threads": threads,
            "weights": size(self.weight_bytes),
            "load": seconds(self.timings.load_s),
            "cold": seconds(self.cold_first_token_s),
            "memory": size(self.peak_bytes),
            "device-memory": size(self.device_peak_bytes),
            "bandwidth": "" if self.bandwidth is None else f"{self.bandwidth / 1e9:.1f} GB/s",
            "share": "" if share is None else f"{share:.0%}",
        }
        return [(word(key, chinese=chinese), value) for key, value in values.items() if value]

    def head(self, *, chinese: bool = False) -> list[str]:
        """What the columns of `rows` are."""
        return [word(key, chinese=chinese) for key in HEAD]

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

    def plot(self) -> str:
        """Decode speed against the length of the prompt, as SVG."""
        points = [
            (float(item.prompt_tokens), item.decode_tokens_per_s)
            for item in self.timings.speeds
            if item.prompt_tokens and item.decode_tokens_per_s
        ]
        threads = plural(self.threads, "thread") if self.threads else ""
        runs = f"medians of {self.plan.runs}" if self.plan.runs > 1 else ""
        return line_plot(
            f"{self.name or self.model}: decode speed",
            ", ".join(filter(None, [self.device, threads, runs])),
            {"": points},
            x="tokens of context",
            y="tokens/s",
        )


def numbers_of(sample: Sample) -> dict[str, Any]:
    """A sample without its text."""
    return {key: value for key, value in asdict(sample).items() if key != "text"}


def quality_rows(
    result: Quality, chosen: Settings, full: Settings, *, chinese: bool = False
) -> list[tuple[str, str]]:
    """(what, how much) of a comparison."""

    def bits(settings: Settings) -> str:
        return settings.dtype if settings.quantize == "none" else settings.quantize

    against = bits(full) if bits(full) != "auto" else "none"
    values = {
        "model": chosen.model,
        "compared": f"{bits(chosen)} / {against}",
        "positions": f"{result.positions:,}",
        "kl-mean": f"{result.mean:.3g} nats",
        "kl-p99": f"{result.p99:.3g} nats",
        "kl-worst": f"{result.worst:.3g} nats",
        "same-best": f"{result.same_best:.1%}",
    }
    return [(word(key, chinese=chinese), value) for key, value in values.items()]


def word(key: str, *, chinese: bool) -> str:
    """What something is called, in one language."""
    line = BENCH[key]
    return line.zh if chinese else line.en


def seconds(value: float | None) -> str:
    """A time for a person: "0.034 s", "12.1 s"."""
    if value is None:
        return ""
    return f"{value:.3f} s" if value < 1 else f"{value:.2f} s" if value < 10 else f"{value:.1f} s"


def rate(value: float | None) -> str:
    """Tokens per second for a person."""
    return "" if value is None else f"{value:,.1f} tok/s" if value < 100 else f"{value:,.0f} tok/s"
