"""Gradient-boosted trees (Friedman 2001), grown by scikit-learn on histograms, asked by numpy."""

from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from medray.baselines.linear import LINKS, Link
from medray.baselines.trees import LEAF, Trees, nodes_of
from medray.tasks.base import Task

ROUNDS = 200  # at most
PARTS = 5  # one of them chooses how many
RATE = 0.05
LEAVES = 15
FEWEST = 50  # samples below which no part is held out, and
SOME = 40  # so many rounds are taken
NEVER = -30.0  # score of a class that training samples lack
LEAST = 1e-12  # probability in a logarithm


@dataclass(frozen=True)
class Boosting(Trees):
    """Trees whose answers add up to a score; a group of them for each class, label or value.

    How many rounds there are is chosen within the training samples alone, by the loss of a fifth.

    Args:
        start: float64 (groups,), of the score.
        link: uint8 (1,), number in `LINKS`: from scores to answers.
    """

    name: ClassVar[str] = "boosted-trees"
    label: ClassVar[str] = "boosted trees"
    most: ClassVar[int] = 50_000

    start: np.ndarray
    link: np.ndarray

    @classmethod
    def fit(cls, design: np.ndarray, targets: np.ndarray, task: Task) -> Self | None:
        """See Baseline; of each value or label those samples teach of which it is known. None where
        all samples are of one class, or targets are not one for each answer."""
        if targets.ndim == 1:
            present = np.unique(targets)
            if len(present) < 2:
                return None
            groups, start = _grown(design, targets, classes=True)
            if len(present) == 2:  # one score, of the second class against the first
                groups, start = [[], *groups], np.array([0.0, *start])
            every: list[list[Any]] = [[] for _ in task.classes]
            from_start = np.full(len(every), NEVER)
            for at, own, value in zip(present.tolist(), groups, start.tolist(), strict=True):
                every[at], from_start[at] = own, value
            return cls._of(every, from_start, "softmax")
        if targets.shape[1] != len(task.classes):
            return None
        labels = bool(np.isin(targets[~np.isnan(targets)], (0, 1)).all())
        several: list[list[Any]] = []
        starts: list[float] = []
        for values in targets.T:
            known = ~np.isnan(values)
            there = values[known].astype(np.float64)
            if not len(there) or there.min() == there.max():
                groups, start = [[]], np.array([_constant(there, labels=labels)])
            else:
                groups, start = _grown(design[known], there, classes=labels)
            several += groups
            starts += start.tolist()
        return cls._of(several, np.array(starts), "sigmoid" if labels else "identity")

    @classmethod
    def _of(cls, groups: list[list[Any]], start: np.ndarray, link: Link) -> Self:
        """Of scikit-learn's trees, group by group."""
        trees = [tree.nodes for own in groups for tree in own]
        fields = ("feature_idx", "num_threshold", "left", "right", "is_leaf", "value")
        column, threshold, left, right, leaf, value = (
            np.concatenate([np.zeros(0), *(nodes[name] for nodes in trees)]) for name in fields
        )
        sizes = [len(nodes) for nodes in trees]
        first, nodes = nodes_of(sizes, column, threshold, left, right, leaf == 0)
        roots = np.full((len(groups), max(map(len, groups))), LEAF, np.int32)
        ends = np.cumsum([len(own) for own in groups])
        for row, (own, end) in enumerate(zip(groups, ends.tolist(), strict=True)):
            roots[row, : len(own)] = first[end - len(own) : end]
        number = np.array([LINKS.index(link)], np.uint8)
        answer = value[:, None].astype(np.float32)
        return cls(roots=roots, **nodes, answer=answer, start=start, link=number)

    def answers(self, design: np.ndarray) -> np.ndarray:
        """float32 (samples, answers), as Task.probabilities has them."""
        scores = np.tile(self.start, (len(design), 1))
        for at, trees in enumerate(self.roots):
            for root in trees[trees != LEAF].tolist():
                scores[:, at] += self.answer[self.leaves(design, root), 0]
        link = LINKS[int(self.link[0])]
        if link == LINKS[0]:
            scores = np.exp(scores - scores.max(1, keepdims=True))
            scores = scores / scores.sum(1, keepdims=True)
        elif link == LINKS[1]:
            scores = 1 / (1 + np.exp(-np.clip(scores, -60, 60)))
        made: np.ndarray = scores.astype(np.float32)
        return made


def _grown(
    design: np.ndarray, targets: np.ndarray, *, classes: bool
) -> tuple[list[list[Any]], np.ndarray]:
    """Trees of each class (of two, of the second), or of a value, and where the scores start."""
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    kind = HistGradientBoostingClassifier if classes else HistGradientBoostingRegressor

    def grow(rounds: int, some: np.ndarray) -> Any:
        made = kind(
            learning_rate=RATE,
            max_iter=rounds,
            max_leaf_nodes=LEAVES,
            early_stopping=False,
            random_state=0,
        )
        return made.fit(design[some], targets[some])

    rounds = SOME
    held = np.zeros(len(targets), bool)
    held[np.argsort(targets, kind="stable")[PARTS // 2 :: PARTS]] = True
    taught = not classes or set(targets[held]) <= set(targets[~held])
    if len(targets) >= FEWEST and taught:
        first = grow(ROUNDS, ~held)
        rounds = 1 + int(np.argmin(_losses(first, design[held], targets[held], classes=classes)))
    fitted = grow(rounds, np.ones(len(targets), bool))
    groups = [list(group) for group in zip(*fitted._predictors, strict=True)]  # noqa: SLF001
    return groups, np.asarray(fitted._baseline_prediction, np.float64).ravel()  # noqa: SLF001


def _losses(fitted: Any, design: np.ndarray, targets: np.ndarray, *, classes: bool) -> np.ndarray:
    """Log loss, or mean square, after each round."""
    if not classes:
        return np.array([np.mean((targets - one) ** 2) for one in fitted.staged_predict(design)])
    at = np.searchsorted(fitted.classes_, targets)
    each = (one[np.arange(len(at)), at] for one in fitted.staged_predict_proba(design))
    return np.array([-np.log(np.maximum(one, LEAST)).mean() for one in each])


def _constant(values: np.ndarray, *, labels: bool) -> float:
    """The score where all that is known is one value."""
    value = float(values[0]) if len(values) else 0.0
    if not labels:
        return value
    return -NEVER if value else NEVER
