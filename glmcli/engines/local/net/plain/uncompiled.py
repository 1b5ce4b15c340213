"""Importing transformers' nets without torch's compiler, which they mark functions for.

glm compiles nothing, and to import the compiler takes 1.2 s of the processor. What imports it all
the same gets it: so does transformers' own `generate`, which is asked once where a net's first
proof finds no quick way to read it. Knows nothing of nets.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import Any

COMPILER = "torch._dynamo"
MASKS = f"{COMPILER}._trace_wrapped_higher_order_op"
"""The part of it that is named at the top of transformers' masks."""
DECORATORS = ("disable", "allow_in_graph", "assume_constant_result")
"""What it is named for where nothing is compiled."""


@contextmanager
def uncompiled() -> Iterator[None]:
    """Where transformers is imported: the compiler is, only if more than these is asked for."""
    if COMPILER in sys.modules:
        yield
        return
    stand_ins = {name: StandIn(name) for name in (COMPILER, MASKS)}
    sys.modules.update(stand_ins)
    try:
        yield
    finally:
        for name, stand_in in stand_ins.items():
            if sys.modules.get(name) is stand_in:
                del sys.modules[name]


class StandIn(ModuleType):
    """A module of the compiler; what it does not have is the real one's."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if name in DECORATORS:
            return unmarked
        if name == "TransformGetItemToIndex":  # a class, made where a mask is made step by step
            return lambda: getattr(real(MASKS), name)()
        return getattr(real(self.__name__), name)


class Unmarked(ModuleType):
    """The compiler as long as nobody imports it: caches name it to mark tensors that stay."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if name == "mark_static_address":
            return no_mark
        return getattr(sys.modules.get(COMPILER) or real(COMPILER), name)


def leave_unmarked() -> None:
    """Let caches mark their tensors for the compiler without it; to import it brings it back."""
    import torch

    if COMPILER not in sys.modules:
        torch._dynamo = Unmarked(COMPILER)


def no_mark(*_: Any, **__: Any) -> None:
    """A mark on a tensor: without a compiler it says nothing."""


def real(name: str) -> ModuleType:
    """A module that may have a stand-in."""
    for each in (COMPILER, MASKS):
        if isinstance(sys.modules.get(each), StandIn):
            del sys.modules[each]
    return import_module(name)


def unmarked(function: Callable[..., Any] | None = None, *_: Any, **__: Any) -> Any:
    """A mark on a function, or what marks one: without a compiler it says nothing."""
    return function or unmarked
