"""A random forest (Breiman 2001), grown by scikit-learn and asked by numpy."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Self

import numpy as np

from medray.baselines.base import Baseline
from medray.tasks.base import Task

TREES = 100
LEAF = -1


@dataclass(frozen=True)
class Forest(Baseline):
    """Trees of classes, or for each of several values or labels trees of its own; a label's answer
    is the share of it. Of many trees' nodes one table, where each tree's lie after another's.

    Args:
        roots: int32 (forests, trees), node where each tree begins.
        column: int32 (nodes,), of the design, that a node looks at; LEAF: none.
        threshold: float64 (nodes,), up to which it goes on to
        left: int32 (nodes,), and else to
        right: int32 (nodes,).
        answer: float32 (nodes, answers of a forest).
    """

    name: ClassVar[str] = "random-forest"
    label: ClassVar[str] = "random forest"
    most: ClassVar[int] = 50_000

    roots: np.ndarray
    column: np.ndarray
    threshold: np.ndarray
    left: np.ndarray
    right: np.ndarray
    answer: np.ndarray

    @classmethod
    def fit(cls, design: np.ndarray, targets: np.ndarray, task: Task) -> Self | None:
        """See Baseline; of each value or label those samples teach of which it is known. None where
        all samples are of one class."""
        from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

        if targets.ndim == 1:
            if len(np.unique(targets)) < 2:
                return None
            grown = RandomForestClassifier(TREES, random_state=0).fit(design, targets)
            shares = np.zeros((len(grown.classes_), len(task.classes)))
            shares[np.arange(len(shares)), grown.classes_] = 1
            return cls._of([grown], shares)
        labels = bool(np.isin(targets[~np.isnan(targets)], (0, 1)).all())
        forests = []
        for values in targets.T:
            known = ~np.isnan(values)
            forest = RandomForestRegressor(
                TREES, max_features="sqrt" if labels else 1 / 3, random_state=0
            )
            forests.append(forest.fit(design[known], values[known].astype(np.float64)))
        return cls._of(forests, np.eye(1))

    @classmethod
    def _of(cls, forests: list[Any], shares: np.ndarray) -> Self:
        """Of scikit-learn's, whose leaves' answers `shares` turns into ours."""
        grown = [[one.tree_ for one in forest.estimators_] for forest in forests]
        trees = [tree for some in grown for tree in some]
        sizes = np.array([tree.node_count for tree in trees])
        first = np.cumsum(sizes) - sizes
        feature, threshold, left, right = (
            np.concatenate([getattr(tree, name) for tree in trees])
            for name in ("feature", "threshold", "children_left", "children_right")
        )
        inner, moved = left >= 0, np.repeat(first, sizes)
        answers = np.concatenate([tree.value[:, 0] for tree in trees]) @ shares
        return cls(
            roots=first.reshape(len(grown), -1).astype(np.int32),
            column=np.where(inner, feature, LEAF).astype(np.int32),
            threshold=threshold,
            left=np.where(inner, left + moved, 0).astype(np.int32),
            right=np.where(inner, right + moved, 0).astype(np.int32),
            answer=answers.astype(np.float32),
        )

    def answers(self, design: np.ndarray) -> np.ndarray:
        """float32 (samples, answers), as Task.probabilities has them."""
        made = np.zeros((len(self.roots), len(design), self.answer.shape[1]))
        for at, trees in enumerate(self.roots):
            for root in trees.tolist():
                made[at] += self.answer[self._leaves(design, root)] / len(trees)
        return np.concatenate(list(made), axis=1).astype(np.float32)

    def _leaves(self, design: np.ndarray, root: int) -> np.ndarray:
        """The leaf of a tree that each sample comes to."""
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
