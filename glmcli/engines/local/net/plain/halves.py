"""A net of transformers whose 16-bit weights stay 16-bit while all that it computes is float32.

It is built and loaded in float32, but for the matrices of linear layers and embeddings. A layer
whose weights the net computes with past the layer's own forward becomes float32 when it does so.
Knows nothing of proofs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from glmcli.engines.local.net.fused.fbgemm import SLICE_NUMBERS, HalfProduct


class Shown:
    """What a layer shows as its `weight`: float32 of a shape. Numbers come once they are used."""

    dtype = torch.float32

    def __init__(self, layer: Half) -> None:
        self._layer = layer
        self.shape = layer.shape

    def __getattr__(self, name: str) -> Any:
        return getattr(self._layer.restored(), name)

    def __getitem__(self, index: Any) -> Any:
        return self._layer.restored()[index]

    def __matmul__(self, other: Any) -> Any:
        return self._layer.restored() @ other

    def __mul__(self, other: Any) -> Any:
        return self._layer.restored() * other

    @classmethod
    def __torch_function__(
        cls, function: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        given = [one._layer.restored() if isinstance(one, cls) else one for one in args]
        named = {
            name: one._layer.restored() if isinstance(one, cls) else one
            for name, one in (kwargs or {}).items()
        }
        return function(*given, **named)


class Half(nn.Module):
    """A layer with 16-bit numbers of its own."""

    shape: torch.Size
    plain: type
    """The class of the layer as it was."""

    @property
    def weight(self) -> Any:
        """What others see of the numbers."""
        return Shown(self)

    def numbers(self) -> Tensor:
        """The weights as they are kept."""
        weight: Any = self._parameters["weight"]
        numbers: Tensor = weight.detach()
        return numbers

    def restored(self) -> Any:
        """The weights as float32, which the layer keeps from now on: it is as it was."""
        numbers = self.numbers().float()
        self.__class__ = self.plain
        self.weight = nn.Parameter(numbers, requires_grad=False)  # type: ignore[misc]
        return self.weight


class HalfLinear(Half):
    """A linear layer. Its weights become float32 as they are used, until they are packed."""

    is_turned = False
    """Whether weights are (in, out)."""
    product: HalfProduct | None = None

    def pack(self) -> None:
        """Put the weights into the order in which they are multiplied; if they are finite."""
        try:
            self.product = HalfProduct(self._rows().contiguous())
        except ValueError:
            return
        del self._parameters["weight"]

    def numbers(self) -> Tensor:
        """The weights as they are kept, or were before they were packed."""
        if self.product is None:
            return super().numbers()
        rows = self.product.unpacked()
        return rows.T.contiguous() if self.is_turned else rows

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) to (..., out), in float32."""
        flat = x.reshape(-1, x.shape[-1])
        y = wide_product(flat, self._rows()) if self.product is None else self.product(flat)
        bias: Any = self.bias
        y = y if bias is None else y + bias
        return y.view(*x.shape[:-1], y.shape[-1])

    def _rows(self) -> Tensor:
        """The weights as (out, in)."""
        return self.numbers().T if self.is_turned else self.numbers()


class TurnedHalfLinear(HalfLinear):
    """A linear layer with weights (in, out)."""

    is_turned = True


class HalfEmbedding(Half, nn.Embedding):  # type: ignore[override]
    """An embedding: rows become float32 as they are looked up."""

    def forward(self, ids: Tensor) -> Tensor:
        """ids to (..., width), in float32."""
        return nn.functional.embedding(ids, self.numbers()).float()


def wide_product(x: Tensor, weight: Tensor) -> Tensor:
    """x (tokens, in) times 16-bit weights (out, in), which become float32 a part at a time."""
    parts = torch.split(weight, max(1, SLICE_NUMBERS // weight.shape[1]))
    return torch.cat([nn.functional.linear(x, part.float()) for part in parts], -1)


def half_kind(module: nn.Module) -> tuple[type, ...]:
    """The bases of what a layer becomes; none if it stays as it is."""
    kinds: dict[type, type] = {nn.Linear: HalfLinear, Conv1D: TurnedHalfLinear}
    if type(module) in kinds:
        return (kinds[type(module)],)
    # An embedding of a net's own makes something of the rows that nn.Embedding's forward gives it.
    return (type(module), HalfEmbedding) if isinstance(module, nn.Embedding) else ()


def halved(net_class: Any, dtype: torch.dtype) -> Any:
    """A class of nets like another, but its matrices are in `dtype`, also while it is loaded."""

    def build(self: Any, config: Any, *args: Any, **settings: Any) -> None:
        net_class.__init__(self, config, *args, **settings)
        for module in self.modules():
            if half_kind(module):
                module.weight.data = module.weight.data.to(dtype)

    # transformers looks beside a class for what its tensors are called.
    told = {"__init__": build, "__module__": net_class.__module__}
    told |= {"dtype": torch.float32, "kept_dtype": dtype}
    return type(net_class.__name__, (net_class,), told)


def size_of(net: nn.Module, dtype: torch.dtype) -> int:
    """How many bytes the weights of a net will take once its matrices are in `dtype`."""
    halves = {id(one.weight) for one in net.modules() if half_kind(one)}
    return sum(
        one.numel() * (dtype.itemsize if id(one) in halves else torch.float32.itemsize)
        for one in net.parameters()
    )


def wide_bytes(net: Any) -> int:
    """How many bytes of the weights are float32."""
    return sum(one.nbytes for one in net.parameters() if one.dtype is torch.float32)


def widen(net: Any) -> None:
    """Let a net that was loaded so compute in float32."""
    for module in net.modules():
        kind = half_kind(module)
        if kind and module.weight.dtype is not torch.float32:
            module.shape, module.plain = module.weight.shape, type(module)
            bases = kind[1:] if type(module) is nn.Embedding else kind
            module.__class__ = type(type(module).__name__, bases, {})


def half_linears(net: Any) -> Iterator[HalfLinear]:
    """The layers of a net that can be packed, the largest first."""
    layers = (module for module in net.modules() if isinstance(module, HalfLinear))
    found = [layer for layer in layers if layer.product is None]
    yield from sorted(found, key=lambda layer: layer.shape.numel(), reverse=True)
