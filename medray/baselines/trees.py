"""What baselines of trees share: nodes of many trees in one table, asked by numpy."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np

from medray.baselines.base import Baseline

LEAF = -1


@dataclass(frozen=True)
class Trees(Baseline):
    """Nodes of many trees, where each tree's lie after another's.

    Args:
        roots: int32 (groups, trees), node where each tree begins; LEAF: the group has no more.
        column: int32 (nodes,), of the design, that a node looks at; LEAF: none.
        threshold: float64 (nodes,), up to which it goes on to
        left: int32 (nodes,), and else to
        right: int32 (nodes,).
        answer: float32 (nodes, answers of a group).
    """

    roots: np.ndarray
    column: np.ndarray
    threshold: np.ndarray
    left: np.ndarray
    right: np.ndarray
    answer: np.ndarray

    def leaves(self, design: np.ndarray, root: int) -> np.ndarray:
        """The leaf of a tree that each sample comes to, int32 (samples,)."""
        node = np.full(len(design), root, np.int32)
        going = np.arange(len(design))
        while len(going := going[self.column[node[going]] != LEAF]):
            at = node[going]
            low = design[going, self.column[at]] <= self.threshold[at]
            node[going] = np.where(low, self.left[at], self.right[at])
        return node

    def tensors(self) -> dict[str, np.ndarray]:
        """See Baseline."""
        return {one.name: getattr(self, one.name) for one in fields(self)}

    @classmethod
    def of(cls, tensors: Mapping[str, np.ndarray]) -> Self:
        """See Baseline."""
        return cls(**{one.name: tensors[one.name] for one in fields(cls)})


def nodes_of(
    sizes: Sequence[int], column: Any, threshold: Any, left: Any, right: Any, inner: Any
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Nodes of trees that each count their own, as `Trees` has them.

    Args:
        sizes: nodes of each tree; the other arguments are of all, (nodes,), tree after tree.
        column: that a node looks at.
        threshold: up to which it goes left.
        left: number of a node in its tree, likewise
        right: of the other.
        inner: whether it is no leaf.

    Returns:
        The root of each tree, and `column`, `threshold`, `left` and `right`.
    """
    counted = np.asarray(sizes)
    first = np.cumsum(counted) - counted
    moved = np.repeat(first, counted)
    return first.astype(np.int32), {
        "column": np.where(inner, column, LEAF).astype(np.int32),
        "threshold": np.asarray(threshold, np.float64),
        "left": np.where(inner, left + moved, 0).astype(np.int32),
        "right": np.where(inner, right + moved, 0).astype(np.int32),
    }
