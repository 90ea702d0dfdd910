"""Which labels are seen at a share: by class and by subject, each draw within the next larger."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from typing import Any

from medray.tasks.base import Task


def drawn(
    rows: Sequence[dict[str, Any]], task: Task, share: float, *, seed: int, draw: int
) -> list[int]:
    """Positions of the rows whose labels are seen, in order.

    Subjects are drawn whole, and of each class by itself, where the task has one a sample: of a
    subject the commonest. At least one subject of a class is seen. Who is drawn first hangs on
    seed, draw and name alone, so what is seen at a share is seen at every larger one.

    Args:
        rows: of the samples.
        task: says of which class they are.
        share: of the subjects, above 0.
        seed: of all draws.
        draw: its number.
    """
    targets = task.targets(rows)
    plain = targets is not None and targets.ndim == 1 and not targets.is_floating_point()
    classes = targets.tolist() if targets is not None and plain else [0] * len(rows)
    groups: dict[str, list[int]] = {}
    for at, row in enumerate(rows):
        groups.setdefault(str(row.get("subject") or row["sample_id"]), []).append(at)
    strata: dict[int, list[str]] = {}
    for name, members in groups.items():
        commonest = Counter(classes[at] for at in members).most_common(1)[0][0]
        strata.setdefault(commonest, []).append(name)
    seen: list[int] = []
    for names in strata.values():
        names.sort(key=lambda name: _luck(seed, draw, name))
        for name in names[: max(1, round(share * len(names)))]:
            seen += groups[name]
    return sorted(seen)


def _luck(seed: int, draw: int, name: str) -> bytes:
    return hashlib.blake2b(f"{seed} {draw} {name}".encode(), digest_size=16).digest()
