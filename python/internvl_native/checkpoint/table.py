"""How tables describe a family: a canonical weight is a concatenation of row ranges of tensors.

A table maps canonical names to `TensorRows`, in the order in which the reference's modules list
their parameters. It is all that a new decoder family needs besides
its config: neither the loader nor the C++ core knows the names in a checkpoint.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Callable, NamedTuple

from internvl_native.configuration import DecoderConfig


class TensorRows(NamedTuple):
    """Rows of one checkpoint tensor, seen as a (rows, cols) matrix."""

    tensor: str
    shape: tuple[int, ...]
    """As it must be stored."""
    rows: int
    cols: int
    ranges: Callable[[], Sequence[range]] | None = None
    """Gives the rows to take, in their order, once the shape is known to be right; None for all."""


Table = dict[str, list[TensorRows]]


def head_dim(config: DecoderConfig) -> int:
    """Columns of one attention head."""
    return config.hidden_size // config.num_attention_heads


def vector(tensor: str, size: int, *, shape: tuple[int, ...] | None = None) -> TensorRows:
    """All elements of a tensor, as one column; stored as (size), or as `shape` says."""
    return TensorRows(tensor, shape or (size,), size, 1)


def matrix(
    tensor: str, rows: int, cols: int, *, shape: tuple[int, ...] | None = None
) -> TensorRows:
    """A whole matrix; stored as (rows, cols), or as `shape` says."""
    return TensorRows(tensor, shape or (rows, cols), rows, cols)


def linear(
    name: str, tensor: str, out_features: int, in_features: int, *, bias: bool = True
) -> Table:
    """`name` and, where the layer has one, `name.bias`, from `tensor.weight` and `tensor.bias`."""
    table: Table = {name: [matrix(f"{tensor}.weight", out_features, in_features)]}
    if bias:
        table[f"{name}.bias"] = [vector(f"{tensor}.bias", out_features)]
    return table


def norm(name: str, tensor: str, size: int, *, bias: bool) -> Table:
    """The weight of a norm and, for a LayerNorm, its bias."""
    table: Table = {name: [vector(f"{tensor}.weight", size)]}
    if bias:
        table[f"{name}.bias"] = [vector(f"{tensor}.bias", size)]
    return table


def stacked(name: str, *parts: Table) -> Table:
    """One weight from several linear layers of the same input, one below the other."""
    table: Table = {}
    for part in parts:
        for key, rows in part.items():
            suffix = ".bias" if key.endswith(".bias") else ""
            table.setdefault(name + suffix, []).extend(rows)
    return table


def renamed(table: Table, canonical_prefix: str, tensor_prefix: str) -> Table:
    """The table with a prefix before its canonical names and one before its tensors' names."""
    return {
        canonical_prefix + name: [
            rows._replace(tensor=tensor_prefix + rows.tensor) for rows in all_
        ]
        for name, all_ in table.items()
    }


class DecoderFamily(NamedTuple):
    """The tables of a decoder family. Tensor names are those of its `...ForCausalLM`."""

    model: Callable[[DecoderConfig], Table]
    """tok_embeddings, norm and output."""
    layer: Callable[[DecoderConfig], Table]
    """attention_norm, qkv, wo, ffn_norm, gate, up and down of one layer."""
    layer_prefix: str
    """Before the tensor names of a layer; holds `{}` for its number."""
