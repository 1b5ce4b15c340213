"""What a checkpoint says about sampling and what ends a reply, read from its JSON files.

The names are those of transformers' GenerationConfig. Each has its place in a table here: it is
followed, it cannot change a reply, or it is named to the user. A template adds the ids that end a
turn: the engine joins both. Knows nothing of nets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from glmcli.language import tr
from glmcli.models.checkpoint import Checkpoint
from glmcli.models.files.fields import FREELY
from glmcli.models.files.kinds import as_list, as_whole
from glmcli.models.files.small import read_checkpoint_json
from glmcli.models.meaning import text_part
from glmcli.types import GenerationParams

_FILE = "generation_config.json"
CHATGLM: Mapping[str, Any] = {"do_sample": True, "top_p": 0.8, "temperature": 0.8}
"""The defaults of the original `chat`, for checkpoints without a generation_config.json."""
SIMPLE = ("do_sample", "temperature", "top_k", "top_p", "min_p", "repetition_penalty")
"""Followed by code of our own."""
LIMITS = ("max_new_tokens", "max_length", "max_time", "stop_strings", "eos_token_id")
"""Followed where a reply ends."""
STEPS: Mapping[str, Any] = {
    **dict.fromkeys(("sequence_bias", "bad_words_ids", "suppress_tokens", "begin_suppress_tokens")),
    **dict.fromkeys(("forced_bos_token_id", "forced_eos_token_id", "top_h")),
    "exponential_decay_length_penalty": None,
    **dict.fromkeys(("no_repeat_ngram_size", "encoder_no_repeat_ngram_size"), 0),
    **dict.fromkeys(("min_length", "min_new_tokens", "epsilon_cutoff", "eta_cutoff"), 0),
    **dict.fromkeys(("encoder_repetition_penalty", "typical_p"), 1),
    "remove_invalid_values": False,
}
"""Followed by transformers' own code; with the value that changes nothing."""
NOT_FOLLOWED: Mapping[str, tuple[Any, ...]] = {
    **dict.fromkeys(("num_beams", "num_beam_groups", "num_return_sequences"), (1,)),
    "guidance_scale": (1,),
    **dict.fromkeys(("penalty_alpha", "prompt_lookup_num_tokens"), (0,)),
    **dict.fromkeys(("constraints", "force_words_ids"), ([],)),
    **dict.fromkeys(("token_healing", "use_mtp"), (False,)),
    **dict.fromkeys(("watermarking_config", "dola_layers"), ()),
    **dict.fromkeys(("assistant_early_exit", "speculation_type"), ()),
    "cache_implementation": ("dynamic", "static", "hybrid", "sliding_window", "offloaded"),
}
"""Named to the user, but for values that change nothing."""
NO_MATTER: Mapping[str, Sequence[str]] = {
    "only with beams, and num_beams is named": (
        *("length_penalty", "early_stopping", "diversity_penalty", "low_memory"),
    ),
    "only with a second model that guesses, which a file does not bring": (
        *("assistant_confidence_threshold", "assistant_ensemble_weight", "assistant_lookbehind"),
        *("is_assistant", "max_matching_ngram_size", "num_assistant_tokens"),
        *("num_assistant_tokens_schedule", "target_lookbehind"),
    ),
    "how it is computed, not what": (
        *("cache_config", "compile_config", "continuous_batching_config", "disable_compile"),
        *("max_cache_len", "prefill_chunk_size", "use_cache"),
    ),
    "what is returned beside the ids": (
        *("output_attentions", "output_hidden_states", "output_logits", "output_scores"),
        "return_dict_in_generate",
    ),
    "the same shares and the same best id": ("renormalize_logits",),
    "a prompt starts a reply, and is never padded": (
        *("bos_token_id", "decoder_start_token_id", "pad_token_id"),
    ),
    "about the file itself": ("transformers_version", "_from_model_config"),
}
"""Why a field cannot change a reply -> fields."""
HARMLESS = frozenset(name for names in NO_MATTER.values() for name in names)
KNOWN = frozenset({*SIMPLE, *LIMITS, *STEPS, *NOT_FOLLOWED, *HARMLESS})


TOP_K = 50
"""Ids that are drawn from where nothing is stated, as `generate` has it."""


def first_set(*values: Any) -> Any:
    """The first value that is not None."""
    return next((value for value in values if value is not None), None)


@dataclass(frozen=True, slots=True)
class Defaults:
    """How a model wants to be sampled; None where it does not say."""

    do_sample: bool | None = None
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    max_new_tokens: int | None = None
    max_length: int | None = None
    """Of prompt and reply together, in tokens."""
    max_time: float | None = None
    """Seconds."""
    stop_strings: tuple[str, ...] = ()
    steps: Mapping[str, Any] = field(default_factory=dict)
    """Those of STEPS that change something."""
    not_followed: tuple[str, ...] = ()
    """Names of what else is stated and changes what `generate` says."""

    @property
    def notice(self) -> str:
        """A line that names what is not followed; "" if all is."""
        names = ", ".join(self.not_followed)
        text = tr("not followed of the model's generation_config.json: {names}", names=names)
        return text if names else ""

    def filled(self, params: GenerationParams) -> GenerationParams:
        """The settings with what each comes to that is not set; greedy is temperature 0."""
        is_on = params.temperature is not None or self.do_sample
        return replace(
            params,
            temperature=first_set(params.temperature, self.temperature, 1.0) if is_on else 0.0,
            top_k=max(0, first_set(params.top_k, self.top_k, TOP_K)),
            top_p=first_set(params.top_p, self.top_p, 1.0),
            repetition_penalty=first_set(params.repetition_penalty, self.repetition_penalty, 1.0),
            max_tokens=first_set(params.max_tokens, self.max_new_tokens),
            stop=params.stop or self.stop_strings,
        )

    def within(self, window: int | None) -> tuple[int | None, str]:
        """A window within `max_length`, which `max_new_tokens` overrules; a line if it shrank."""
        most = self.max_length
        if not most or self.max_new_tokens or (window is not None and most >= window):
            return window, ""
        return most, tr(
            "the model's generation_config.json ends prompt and reply at {most:,} tokens; "
            "--window {window} lifts that",
            most=most,
            window=window or "N",
        )


def read_defaults(checkpoint: Checkpoint) -> tuple[Defaults, frozenset[int]]:
    """The defaults of a checkpoint, and the ids that end a reply by the word of its files.

    As `generate` has them: of config.json only where there is no generation_config.json, and none
    that a family's class has of its own where the files state none. Raises ModelError.
    """
    stated = stated_defaults(checkpoint)
    ends = stated.get("eos_token_id")
    if ends is None and not states_defaults(checkpoint):
        ends = text_part(checkpoint.config).get("eos_token_id")
    return defaults_in(stated), ending_ids(ends)


def defaults_in(stated: Mapping[str, Any]) -> Defaults:
    """The defaults that these fields state. They were checked."""
    names = (*SIMPLE, "max_new_tokens", "max_length", "max_time")
    return Defaults(
        **{name: stated.get(name) for name in names},
        stop_strings=tuple(as_list(stated.get("stop_strings") or [])),
        steps={
            name: stated[name]
            for name, nothing in STEPS.items()
            if stated.get(name) not in (None, nothing, [])
        },
        not_followed=tuple(
            name
            for name, value in stated.items()
            if value is not None
            and (name in NOT_FOLLOWED or not (name in KNOWN or name.startswith("_")))
            and value not in NOT_FOLLOWED.get(name, ())
        ),
    )


def stated_defaults(checkpoint: Checkpoint) -> Mapping[str, Any]:
    """The fields of generation_config.json, or what stands for them. Raises ModelError."""
    stated = written_defaults(checkpoint)
    return {name: as_whole(value) if name in FREELY else value for name, value in stated.items()}


def states_defaults(checkpoint: Checkpoint) -> bool:
    """Whether there is a file for them."""
    return (checkpoint.folder / _FILE).exists()


def written_defaults(checkpoint: Checkpoint) -> Mapping[str, Any]:
    """The same as they are written. Raises ModelError."""
    if states_defaults(checkpoint):
        return read_checkpoint_json(checkpoint.folder / _FILE)
    if checkpoint.family == "chatglm":
        # The ids of its roles end a reply too; the template brings them.
        ends = ending_ids(checkpoint.config.get("eos_token_id", 2))
        return {**CHATGLM, "eos_token_id": sorted(ends)}
    return {name: value for name, value in checkpoint.config.items() if name in KNOWN}


def ending_ids(stated: float | Sequence[float] | None) -> frozenset[int]:
    """The ids that end a reply, as a field `eos_token_id` states them."""
    return frozenset(map(as_whole, [stated] if isinstance(stated, int | float) else stated or []))
