"""Which field of config.json is at fault when a checkpoint cannot be opened, found by trying.

transformers says what failed, seldom why: a net without weights is built and run again and again,
each time with one field left out, until that goes well. Knows nothing of what fields mean.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from typing import Any

import torch

from glmcli.engines.local.building import build_limits
from glmcli.engines.local.net.plain.cut import layers_for, shorten
from glmcli.engines.local.net.plain.recipes import drop_attention, net_class_of
from glmcli.errors import ModelError, first_line
from glmcli.language import tr
from glmcli.models.checkpoint import Checkpoint
from glmcli.models.defaults import stated_defaults
from glmcli.models.files.fields import refused
from glmcli.models.libraries import quiet

Failure = tuple[int, Exception | None]
"""How far it came, and why no further; None if nothing went wrong."""
FailureOf = Callable[[Mapping[str, Any]], Failure]
PATIENCE_S = 5.0
"""Of the search: then what transformers says has to do."""
TRY_S = 1.0
"""Of the processor, for one try."""


def blamed(checkpoint: Checkpoint, error: ModelError) -> ModelError:
    """An error that names the field without which this one would not be; else the same error."""
    if checkpoint.remote_code or checkpoint.family == "chatglm":
        return error
    with quiet():
        return (
            find_fault("config.json", checkpoint.config, failure_of_net, error)
            or find_fault(
                "generation_config.json", stated_defaults(checkpoint), failure_of_sampling, error
            )
            or error
        )


def find_fault(
    where: str, stated: Mapping[str, Any], failure_of: FailureOf, error: ModelError
) -> ModelError | None:
    """The error for the field without which this one would not be, if there is such a field."""
    steps, why = failure_of(stated)
    if why is None or first_line(why) not in error.message:
        return None
    until = time.monotonic() + PATIENCE_S
    for name, value, rest in each_left_out(stated):
        if time.monotonic() > until:
            break
        further, other = failure_of(rest)
        if other is None or further > steps:
            said = first_line(why)
            if type(why) is KeyError:  # all that it says is the key
                said = tr("transformers has no {name}", name=str(why)[:100])
            return refused(where, name, value, said)
    return None


def each_left_out(config: Mapping[str, Any]) -> Iterator[tuple[str, Any, dict[str, Any]]]:
    """Each field but the family, with its path, and the config without it."""
    for name, value in config.items():
        if name != "model_type":
            yield name, value, {key: each for key, each in config.items() if key != name}
    text = config.get("text_config")
    for name, value, rest in each_left_out(text) if isinstance(text, dict) else ():
        yield f"text_config.{name}", value, {**config, "text_config": rest}


def failure_of_net(stated: Mapping[str, Any]) -> Failure:
    """What transformers says against a net of this config, or when it reads."""
    import transformers

    done = 0
    try:
        family = str(stated["model_type"])
        with build_limits(TRY_S):
            config = transformers.CONFIG_MAPPING[family].from_dict(deepcopy(dict(stated)))
        done = 1
        text = config.get_text_config(decoder=True)
        shorten(text, layers_for(text))
        config, net_class = net_class_of(config)
        drop_attention(config)
        with build_limits(TRY_S), torch.device("meta"), torch.inference_mode():
            net = net_class._from_config(config).eval()
            done = 2
            ids = torch.zeros((1, 2), dtype=torch.long)
            net(input_ids=ids, use_cache=True, return_dict=True)
    except Exception as exc:  # each family checks in its own way
        return done, exc
    return done, None


def failure_of_sampling(stated: Mapping[str, Any]) -> Failure:
    """What transformers says against a generation_config.json."""
    import transformers

    try:
        transformers.GenerationConfig.from_dict(dict(stated))
    except Exception as exc:  # it checks some of what it holds
        return 0, exc
    return 0, None
