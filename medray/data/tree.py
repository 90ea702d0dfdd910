"""Trees of tensors: what networks take and targets are, one tensor or several by name."""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias, cast

import torch
from torch import Tensor

Tree: TypeAlias = "Tensor | Mapping[str, Tree]"


def map_tree(function: Callable[[Tensor], Tensor], tree: Tree) -> Tree:
    """A tree of the same names with `function` of each tensor."""
    if isinstance(tree, Tensor):
        return function(tree)
    return {name: map_tree(function, branch) for name, branch in tree.items()}


def joined(*trees: Tree) -> Tree:
    """Trees of the same names as one, tensors one after the other along their first axis."""
    first = trees[0]
    if isinstance(first, Tensor):
        return torch.cat(cast("tuple[Tensor, ...]", trees))
    branches = cast("Sequence[Mapping[str, Tree]]", trees)
    return {name: joined(*(one[name] for one in branches)) for name in first}


def device_of(tree: Tree) -> torch.device:
    """Where a tree's tensors are: that of its first."""
    while not isinstance(tree, Tensor):
        tree = next(iter(tree.values()))
    return tree.device


def chunk(tree: Tree, parts: int) -> list[Tree]:
    """Cut all tensors along their first axis, as `torch.chunk` does: there may be fewer parts."""
    if isinstance(tree, Tensor):
        return list(tree.chunk(parts))
    cut = {name: chunk(branch, parts) for name, branch in tree.items()}
    return [dict(zip(cut, some, strict=True)) for some in zip(*cut.values(), strict=True)]


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """A tensor on `device`; to a GPU by pinned memory, without waiting for it."""
    if device.type != "cuda":
        return tensor
    return tensor.contiguous().pin_memory().to(device, non_blocking=True)


def channels_last(dims: int) -> torch.memory_format:
    """The layout of images of so many spatial axes whose channels lie beside each other."""
    return torch.channels_last_3d if dims == 3 else torch.channels_last
