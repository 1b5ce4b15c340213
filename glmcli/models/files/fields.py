"""What the JSON files of a checkpoint may say: a table of fields, of what they hold, and of bounds.

Only what this program or a library relies on without a look is in it. null is always allowed, and
fields that are not in a table may hold anything. Knows nothing of files.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from glmcli.errors import ModelError
from glmcli.language import tr
from glmcli.models.files.kinds import (
    LONGEST_LIST,
    FieldKind,
    FieldTable,
    as_list,
    is_finite,
    is_integer,
    list_of,
    number,
    some,
    whole,
    written_freely,
)

LONGEST_NAME = 200
LONGEST_TEMPLATE = 1_000_000
MOST_TEMPLATES = 100
"""Of one model; real ones have up to four."""
_LONGEST_TOKEN = 1_000
"""Letters; the longest tokens there are have about 128."""
MOST_ENDS = 1_000
"""Ids, or texts, that end a reply; real checkpoints have a handful."""
MOST_IDS = 20_000
"""Ids that are not to be sampled: those of images and their kin are up to ten thousand."""
_MOST_ADDED = 70_000
"""Tokens beside a tokenizer's own, each of which is an object; Gemma 3 has 6,400."""
_WIDEST_FACTOR = 1_000_000
"""Times that rotary settings may widen a window."""
_SHOWN = 40
DTYPES = frozenset(
    {
        *("float64", "double", "float32", "float", "float16", "half", "bfloat16", "auto"),
        *("float8_e4m3fn", "float8_e5m2", "int8", "uint8"),
    }
)
"""Number formats. A library takes any other word for whatever torch calls by it: "load"."""


def is_short_line(value: Any) -> bool:
    """Whether it is one line of text, and not a long one."""
    return (
        isinstance(value, str) and len(value) <= LONGEST_NAME and (not value or value.isprintable())
    )


def is_limit(value: Any) -> bool:
    """Whether it is a number that may be infinite."""
    return (is_integer(value) or isinstance(value, float)) and value >= 0


def is_template(value: Any) -> bool:
    """Whether it is a template or a list of named ones."""
    if isinstance(value, str):
        return len(value) <= LONGEST_TEMPLATE
    return list_of(is_named_template, MOST_TEMPLATES)(value)


def is_named_template(value: Any) -> bool:
    """Whether it is one of several templates."""
    return (
        isinstance(value, dict)
        and is_short_line(value.get("name"))
        and isinstance(source := value.get("template"), str)
        and len(source) <= LONGEST_TEMPLATE
    )


def is_token(value: Any) -> bool:
    """Whether it is the text of a token, or an object with one."""
    text = value.get("content") if isinstance(value, dict) else value
    return isinstance(text, str) and len(text) <= _LONGEST_TOKEN


def is_short(value: Any) -> bool:
    """Whether no text in it is longer than a token, at any depth."""
    if isinstance(value, dict | list):
        return all(map(is_short, value.values() if isinstance(value, dict) else value))
    return not isinstance(value, str) or len(value) <= _LONGEST_TOKEN


def dict_of(fits: Callable[[Any], bool]) -> Callable[[Any], bool]:
    """Whether something is an object all of whose values fit."""
    return lambda value: isinstance(value, dict) and all(map(fits, value.values()))


def is_few(lists: Any) -> bool:
    """Whether all lists of ids together are no longer than one may be."""
    return sum(map(len, lists)) <= MOST_IDS


def is_biased(value: Any) -> bool:
    """Whether it is a list of ids and a number."""
    return (
        isinstance(value, list)
        and len(value) == 2
        and is_finite(value[1])
        and bool(value[0])
        and ID_LIST.fits(value[0])
    )


NAME_FIELD = FieldKind(lambda: tr("a name"), is_short_line)
NAMES_FIELD = FieldKind(
    lambda: tr("a list of at most {most:,} names", most=LONGEST_LIST), list_of(is_short_line)
)
SWITCH = FieldKind(lambda: tr("true or false"), lambda value: isinstance(value, bool))
OBJECT = FieldKind(lambda: tr("an object"), lambda value: isinstance(value, dict))
TOKEN = FieldKind(
    lambda: tr("the text of a token, of at most {most:,} letters", most=_LONGEST_TOKEN), is_token
)
TOKENS = FieldKind(
    lambda: tr(
        "at most {count:,} tokens of at most {most:,} letters",
        count=_MOST_ADDED,
        most=_LONGEST_TOKEN,
    ),
    lambda value: isinstance(value, list | dict) and len(value) <= _MOST_ADDED and is_short(value),
)
DTYPE = FieldKind(
    lambda: tr("a number format such as bfloat16"),
    lambda value: isinstance(value, str) and value in DTYPES,
)
POSITIVE = FieldKind(lambda: tr("a number above 0"), lambda value: is_finite(value) and value > 0)
FACTOR = FieldKind(
    lambda: tr("a number above 0, and {most:,} at most", most=_WIDEST_FACTOR),
    lambda value: POSITIVE.fits(value) and value <= _WIDEST_FACTOR,
)
TOKEN_ID = whole(-1_000, 1_000_000_000)
IDS = FieldKind(
    lambda: tr("the id of a token, or a list of at most {most:,}", most=MOST_ENDS),
    lambda value: list_of(TOKEN_ID.fits, MOST_ENDS)(as_list(value)),
)
ID_LIST = FieldKind(
    lambda: tr("a list of at most {most:,} ids", most=MOST_IDS), list_of(TOKEN_ID.fits, MOST_IDS)
)
LAYERS = whole(1, 10_000)
WIDTH = whole(1, 1_000_000)
HEADS = some(whole(1, 100_000))
WINDOW = number(1, 1e9)
"""A number that need not be written as a whole one: "1e6"."""
CLASSES = FieldKind(
    lambda: tr("an object of names"),
    dict_of(lambda value: all(each is None or is_short_line(each) for each in as_list(value))),
)

ROPE: FieldTable = {
    "rope_type": NAME_FIELD,
    "type": NAME_FIELD,
    "rope_theta": POSITIVE,
    "factor": FACTOR,
    "original_max_position_embeddings": WINDOW,
    **dict.fromkeys(
        ("low_freq_factor", "high_freq_factor", "partial_rotary_factor", "attention_factor"),
        number(),
    ),
    **dict.fromkeys(("beta_fast", "beta_slow", "mscale", "mscale_all_dim"), number()),
    **dict.fromkeys(("long_factor", "short_factor"), some(number())),
}
CONFIG: FieldTable = {
    "architectures": NAMES_FIELD,
    "model_type": NAME_FIELD,
    "auto_map": CLASSES,
    "quantization_config": OBJECT,
    "text_config": OBJECT,
    **dict.fromkeys(("dtype", "torch_dtype"), DTYPE),
    "hidden_act": NAME_FIELD,
    "layer_types": NAMES_FIELD,
    **dict.fromkeys(("num_hidden_layers", "num_layers", "n_layer"), LAYERS),
    **dict.fromkeys(("hidden_size", "n_embd", "d_model"), WIDTH),
    **dict.fromkeys(("num_attention_heads", "n_head"), HEADS),
    **dict.fromkeys(("num_key_value_heads", "multi_query_group_num"), HEADS),
    **dict.fromkeys(("head_dim", "kv_channels"), some(whole(0, 100_000))),
    **dict.fromkeys(("intermediate_size", "ffn_hidden_size"), some(whole(1, 10_000_000))),
    **dict.fromkeys(("vocab_size", "padded_vocab_size"), whole(1, 10_000_000)),
    **dict.fromkeys(("max_position_embeddings", "seq_length", "n_positions"), WINDOW),
    "max_seq_len": WINDOW,
    "sliding_window": whole(0, 1_000_000_000),
    **dict.fromkeys(("rms_norm_eps", "layer_norm_eps", "layernorm_epsilon"), number(0, 1)),
    **dict.fromkeys(("rope_theta", "rope_ratio"), POSITIVE),
    "partial_rotary_factor": number(0, 1),
    **dict.fromkeys(("tie_word_embeddings", "use_cache", "is_encoder_decoder"), SWITCH),
    **dict.fromkeys(("return_dict", "output_hidden_states", "output_attentions"), SWITCH),
    **dict.fromkeys(("base_model_tp_plan", "base_model_pp_plan"), OBJECT),
    "id2label": OBJECT,
    "num_labels": whole(0, 1_000_000),
    "attention_dropout": number(0, 1),
    "attention_chunk_size": whole(0, 1_000_000_000),
    **dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id"), IDS),
}
GENERATION: FieldTable = {
    "do_sample": SWITCH,
    "remove_invalid_values": SWITCH,
    "temperature": number(0),
    "top_k": whole(-1, 1_000_000_000),
    **dict.fromkeys(("top_p", "min_p", "top_h", "typical_p"), number(0, 1)),
    **dict.fromkeys(("epsilon_cutoff", "eta_cutoff"), number(0, 1)),
    **dict.fromkeys(("repetition_penalty", "encoder_repetition_penalty", "max_time"), POSITIVE),
    "eos_token_id": written_freely(IDS),
    "forced_eos_token_id": IDS,
    "forced_bos_token_id": TOKEN_ID,
    **dict.fromkeys(("suppress_tokens", "begin_suppress_tokens"), written_freely(ID_LIST)),
    "bad_words_ids": FieldKind(
        lambda: tr("lists of at most {most:,} ids together", most=MOST_IDS),
        lambda value: list_of(ID_LIST.fits, MOST_IDS)(value) and is_few(value),
    ),
    "sequence_bias": FieldKind(
        lambda: tr("a list of ids and their bias, each, of at most {most:,} ids", most=MOST_IDS),
        lambda value: list_of(is_biased, MOST_IDS)(value) and is_few(ids for ids, _ in value),
    ),
    "exponential_decay_length_penalty": FieldKind(
        lambda: tr("a list of two numbers"),
        lambda value: list_of(is_finite)(value) and len(value) == 2,
    ),
    **dict.fromkeys(("no_repeat_ngram_size", "encoder_no_repeat_ngram_size"), whole(0, 10**9)),
    **dict.fromkeys(("min_length", "min_new_tokens"), written_freely(whole(0, 10**9))),
    **dict.fromkeys(("max_length", "max_new_tokens"), written_freely(whole(1, 10**12))),
    "stop_strings": FieldKind(
        lambda: tr("a text, or a list of at most {most:,}", most=MOST_ENDS),
        lambda value: list_of(is_token, MOST_ENDS)(as_list(value)) and is_short(value),
    ),
}
FREELY = (
    *("eos_token_id", "suppress_tokens", "begin_suppress_tokens"),
    *("min_length", "min_new_tokens", "max_length", "max_new_tokens"),
)
"""Fields of GENERATION whose whole numbers `generate` takes as 5.0 too."""
TOKENIZER: FieldTable = {
    "model_max_length": FieldKind(lambda: tr("a number of 0 or more"), is_limit),
    "chat_template": FieldKind(
        lambda: tr(
            "a template of at most {most:,} letters, or a list of {count} named ones at most",
            most=LONGEST_TEMPLATE,
            count=MOST_TEMPLATES,
        ),
        is_template,
    ),
    "tokenizer_class": NAME_FIELD,
    "auto_map": CLASSES,
    "added_tokens_decoder": FieldKind(
        lambda: tr("an object of at most {most:,} tokens by their ids", most=_MOST_ADDED),
        lambda value: (
            dict_of(is_token)(value)
            and len(value) <= _MOST_ADDED
            and all(re.fullmatch(r"\d{1,9}", id) for id in value)
        ),
    ),
    **dict.fromkeys(
        (f"{name}_token" for name in ("bos", "cls", "eos", "mask", "pad", "sep", "unk")), TOKEN
    ),
    **dict.fromkeys(("additional_special_tokens", "extra_special_tokens"), TOKENS),
}
ADDED: FieldTable = {
    "added_tokens": FieldKind(
        lambda: tr("an object of at most {most:,} ids by their tokens", most=_MOST_ADDED),
        lambda value: dict_of(is_integer)(value) and len(value) <= _MOST_ADDED,
    )
}
"""added_tokens.json, as if it were a field of itself."""


def check_config(config: Mapping[str, Any]) -> None:
    """Raise ModelError for a config.json with a field that cannot be what it says."""
    where = "config.json"
    check(config, CONFIG, where)
    for path, rope in ropes(config):
        check(rope, ROPE, where, path)
    if isinstance(text := config.get("text_config"), dict):
        check(text, CONFIG, where, "text_config.")
        for path, rope in ropes(text):
            check(rope, ROPE, where, f"text_config.{path}")
    for name, part in config.items():
        if name.endswith("_config") and name != "quantization_config" and isinstance(part, dict):
            check(part, {"dtype": DTYPE, "torch_dtype": DTYPE}, where, f"{name}.")


def ropes(config: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The rotary settings, with their paths: for all layers, or one for each kind of layer."""
    for name in ("rope_scaling", "rope_parameters"):
        value = config.get(name)
        if value is None:
            continue
        yield f"{name}.", value
        if isinstance(value, dict):
            yield from (
                (f"{name}.{key}.", each) for key, each in value.items() if isinstance(each, dict)
            )


def check(values: Any, table: FieldTable, where: str, path: str = "") -> None:
    """Raise ModelError for the first field that does not hold what the table says."""
    if not isinstance(values, dict):
        raise wrong(where, path.removesuffix("."), values, OBJECT)
    for name, kind in table.items():
        value = values.get(name)
        if value is not None and not kind.fits(value):
            raise wrong(where, path + name, value, kind)


def wrong(where: str, field: str, value: Any, kind: FieldKind) -> ModelError:
    """The error for a field."""
    return ModelError(
        tr(
            "{where}: {field} is {value}, not {words}",
            where=where,
            field=field,
            value=_shown(value),
            words=kind.words(),
        ),
        tr("correct {where} if you changed it, else download the model again", where=where),
    )


def refused(where: str, field: str, value: Any, why: str) -> ModelError:
    """The error for a field that a library does not take, for a reason of its own."""
    return ModelError(
        tr(
            "{where}: {field} is {value}: {why}",
            where=where,
            field=field,
            value=_shown(value),
            why=why,
        ),
        tr("correct {where} if you changed it, else download the model again", where=where),
    )


def _shown(value: Any) -> str:
    """The beginning of a value, on one line."""
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
