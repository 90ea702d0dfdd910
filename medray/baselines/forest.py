"""A random forest (Breiman 2001), grown by scikit-learn and asked by numpy."""

from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from medray.baselines.trees import Trees, nodes_of
from medray.tasks.base import Task

TREES = 100


@dataclass(frozen=True)
class Forest(Trees):
    """Trees of classes, or for each of several values or labels trees of its own; a label's answer
    is the share of it."""

    name: ClassVar[str] = "random-forest"
    label: ClassVar[str] = "random forest"
    most: ClassVar[int] = 50_000

    @classmethod
    def fit(cls, design: np.ndarray, targets: np.ndarray, task: Task) -> Self | None:
        """See Baseline; of each value or label those samples teach of which it is known. None where
        all samples are of one class, or targets are not one for each answer."""
        from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

        if targets.ndim == 1:
            if len(np.unique(targets)) < 2:
                return None
            grown = RandomForestClassifier(TREES, random_state=0).fit(design, targets)
            shares = np.zeros((len(grown.classes_), len(task.classes)))
            shares[np.arange(len(shares)), grown.classes_] = 1
            return cls._of([grown], shares)
        if targets.shape[1] != len(task.classes):
            return None
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
        trees = [one.tree_ for forest in forests for one in forest.estimators_]
        feature, threshold, left, right = (
            np.concatenate([getattr(tree, name) for tree in trees])
            for name in ("feature", "threshold", "children_left", "children_right")
        )
        sizes = [tree.node_count for tree in trees]
        roots, nodes = nodes_of(sizes, feature, threshold, left, right, left >= 0)
        answers = np.concatenate([tree.value[:, 0] for tree in trees]) @ shares
        made = roots.reshape(len(forests), -1)
        return cls(roots=made, **nodes, answer=answers.astype(np.float32))

    def answers(self, design: np.ndarray) -> np.ndarray:
        """float32 (samples, answers), as Task.probabilities has them."""
        made = np.zeros((len(self.roots), len(design), self.answer.shape[1]))
        for at, trees in enumerate(self.roots):
            for root in trees.tolist():
                made[at] += self.answer[self.leaves(design, root)] / len(trees)
        return np.concatenate(list(made), axis=1).astype(np.float32)
