"""Which way of reading is right for a net: the quickest that agrees with one forward of it all.

Else one that agrees with the net's own `generate`. Asked of a cut of the net where there can be
one. Knows nothing of text, nor of where the verdict is kept.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor

from glmcli.engines.local.net.plain.cut import borders_of, cut_of, growing_ropes, is_dynamic
from glmcli.engines.local.net.plain.growing import RECURRENT
from glmcli.engines.local.net.plain.reader import PlainReader, Reading, ReadingWay
from glmcli.language import tr
from glmcli.models.libraries import quiet

FIRST, SECOND, SINGLES = 20, 16, 4
"""Ids of the proof: a block, another block, and some one by one."""
SCORED = 8
"""So many ids of a block are scored: a large vocabulary would cost more than all layers."""
TEXTS = 4
"""How many are read at most where rounding is in question."""
LOW_BORDER = 28
"""Where the borders of a cut are put: within the second block of the proof."""
_BOUNDS = {torch.float32: 2e-3}
_USUAL_BOUND = 0.1
"""How far scores may be apart, relative to their spread: rounding differs, above all in halves."""
_LEAST, _TIMES = 5e-6, 10
"""In float32 parts may be so far apart, or so many times as far as one block and then id by id.

Of 170 families the parts are within twice that, and within 5e-6, but for one, with one text and on
some processors; those that lose a state are 2e-5 and more apart with each text, where weights are
as small as new ones.
"""


class UnequalError(Exception):
    """No way of reading a net says what its own `generate` says."""


def find_reading(net: Any) -> Reading:
    """The right way of reading a net. Raises UnequalError, or what the net's forward raises."""
    with quiet(), torch.inference_mode():
        quick = way_of_cut(net)
        # A cut may lack what the whole net has: what it cannot do is asked of the net itself.
        way = ReadingWay.PARTS if quick is ReadingWay.PARTS else judged(net)
        config = net.config.get_text_config(decoder=True)
        borders = borders_of(config)
        if not borders:
            return Reading(way)
        grows = bool(growing_ropes(config))
        if is_dynamic(config):
            # Each id has frequencies of its own then, and so has it in `generate`.
            beyond: ReadingWay | None = ReadingWay.WHOLE
        else:
            beyond = way_of_cut(net, LOW_BORDER) if quick is way else None
        if beyond is None:
            beyond = ReadingWay.WHOLE if grows else way
        beyond = max(way, beyond, key=list(ReadingWay).index)
        return Reading(way, borders[0], beyond) if grows or beyond is not way else Reading(way)


def check_same(net: Any, change: Callable[[], None]) -> None:
    """Change a net, and raise ValueError unless it says the same as before."""
    ids = probe_ids(net.config.get_text_config(decoder=True).vocab_size)
    with quiet():
        before = PlainReader(net, Reading(ReadingWay.ANEW)).read(ids, len(ids))
        change()
        after = PlainReader(net, Reading(ReadingWay.ANEW)).read(ids, len(ids))
    if (apart := distance(after, before)) > _BOUNDS[torch.float32]:
        raise ValueError(f"scores differ by {apart:.2g}")


def way_of_cut(net: Any, border: int | None = None) -> ReadingWay | None:
    """The right way for a few layers of a net; None if they cannot be asked.

    Raises UnequalError if there is none beyond a border.
    """
    try:
        return judged(cut_of(net, border=border), border)
    except Exception as exc:  # each family fails in its own way
        if border is not None and isinstance(exc, UnequalError):
            raise
        return None


def judged(net: Any, border: int | None = None) -> ReadingWay:
    """The quickest way that is equal. Raises UnequalError, or what the net's forward raises."""
    ids = probe_ids(net.config.get_text_config(decoder=True).vocab_size)
    wanted = scored(net, ids)
    if not torch.isfinite(wanted).all():
        raise FloatingPointError(tr("its scores are not finite: the weights are damaged"))
    bound = _BOUNDS.get(net.dtype) or usual_bound(net, ids, wanted)
    whole, parts = both_ways(net, border, ids, wanted)
    is_equal = parts <= bound and not loses_state(net, ids)
    if is_equal and (net.dtype not in _BOUNDS or is_rounding(net, border, whole, parts)):
        return ReadingWay.PARTS
    if whole <= bound:
        return ReadingWay.WHOLE
    for way in (ReadingWay.ANEW, ReadingWay.WHOLE):
        if from_generate(net, way, ids[: FIRST + SECOND]) <= bound:
            return way
    raise UnequalError


def scored(net: Any, ids: list[int]) -> Tensor:
    """The last scores of one forward of a probe, as many as are compared."""
    return PlainReader(net, Reading(ReadingWay.ANEW)).read(ids, len(ids) - FIRST + SCORED)


def both_ways(net: Any, border: int | None, ids: list[int], wanted: Tensor) -> tuple[float, float]:
    """How far one block, and parts, are from the scores that are wanted; infinite if they fail."""
    found = [math.inf, math.inf]
    for index, way in enumerate((ReadingWay.WHOLE, ReadingWay.PARTS)):
        reader = PlainReader(net, Reading(way, border, way))
        with suppress(Exception):  # whatever a family's cache cannot do
            found[index] = apart(reader, way, ids, wanted, border or 0)
    return found[0], found[1]


def is_rounding(net: Any, border: int | None, whole: float, parts: float) -> bool:
    """Whether parts are no further apart than rounding takes them, with this text or another.

    With one text rounding may add up; a state that is lost is lost with each.
    """
    for text in range(1, TEXTS):
        if is_near(whole, parts):
            return True
        ids = probe_ids(net.config.get_text_config(decoder=True).vocab_size, text)
        whole, parts = both_ways(net, border, ids, scored(net, ids))
    return is_near(whole, parts)


def is_near(whole: float, parts: float) -> bool:
    """Whether parts are about as far from the right scores as one block is."""
    return parts <= max(_LEAST, _TIMES * whole if math.isfinite(whole) else 0.0)


def loses_state(net: Any, ids: list[int]) -> bool:
    """Whether a net reads a block of ids as if it had no state of what came before.

    How much that changes says nothing: it may be hidden by rounding, and grow with the text.
    """
    said = []
    for name in ("", *RECURRENT):
        reader = PlainReader(net, Reading(ReadingWay.PARTS))
        reader.read(ids[:FIRST])
        if not name or reader.spoil(name):
            said.append(reader.read(ids[FIRST : FIRST + SCORED], SCORED))
    return any(torch.equal(scores, said[0]) for scores in said[1:])


def apart(
    reader: PlainReader, way: ReadingWay, ids: list[int], wanted: Tensor, border: int = 0
) -> float:
    """How far a way's scores are from the last ones, wanted, at the stage where they are furthest.

    What is read before a border is not compared: with the whole text it may mean something else.
    """
    found, start = [], 0
    blocks, singles = wanted[:-SINGLES], wanted[-SINGLES:]
    for end in [FIRST, FIRST + SECOND] if way is ReadingWay.PARTS else [FIRST + SECOND]:
        scores = reader.read(ids[start:end], SCORED)
        if end > border:
            found.append(distance(scores, blocks[:SCORED] if end == FIRST else blocks[-SCORED:]))
        start = end
    each = torch.cat([reader.read([token]) for token in ids[start:]])
    found.append(distance(each, singles))
    back = FIRST + SINGLES
    if way is ReadingWay.PARTS and reader.rewind(back):
        found.append(distance(reader.read(ids[back:], SCORED), wanted[-SCORED:]))
    reader.forget()
    return max(found)


def from_generate(net: Any, way: ReadingWay, ids: list[int]) -> float:
    """How far a way's scores of a reply to `ids` are from those of the net's own `generate`."""
    text = torch.tensor([ids], device=net.device)
    options = {"max_new_tokens": SINGLES, "min_new_tokens": SINGLES, "do_sample": False}
    options |= {"output_logits": True, "return_dict_in_generate": True, "num_beams": 1}
    cached = way is not ReadingWay.ANEW
    made = net.generate(text, attention_mask=torch.ones_like(text), use_cache=cached, **options)
    said = made.sequences[0, len(ids) :].tolist()
    reader = PlainReader(net, Reading(way))
    found = [reader.read(ids), *(reader.read([token]) for token in said[:-1])]
    return distance(torch.cat(found), torch.cat(made.logits).float())


def usual_bound(net: Any, ids: list[int], wanted: Tensor) -> float:
    """How far rounding alone may take scores: as far as a shorter text does, within limits."""
    shorter = PlainReader(net, Reading(ReadingWay.ANEW)).read(ids[:FIRST], SCORED)
    return min(max(_USUAL_BOUND, 2 * distance(shorter, wanted[:SCORED])), 0.3)


def distance(scores: Tensor, wanted: Tensor) -> float:
    """The median over positions of how far scores are apart, relative to their spread.

    The median: where a router of experts is rounded to another choice, single positions differ.
    """
    spread = wanted - wanted.mean(-1, keepdim=True)
    difference = scores - wanted
    difference = difference - difference.mean(-1, keepdim=True)
    each = difference.norm(dim=-1) / spread.norm(dim=-1)
    middle = float(each.median())
    return middle if middle == middle else float("inf")  # NaN is not agreement


def probe_ids(vocabulary: int, text: int = 0) -> list[int]:
    """The ids of one of the proof's texts, in no order."""
    count = FIRST + SECOND + SINGLES
    numbers = range(text * count, (text + 1) * count)
    return [(37 * number * number + 11 * number + 1) % min(199, vocabulary) for number in numbers]
