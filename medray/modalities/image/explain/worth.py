"""What all maps of a dataset are worth together: means of their checks, and a verdict in words."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from medray.modalities.image.explain.checks import ALIKE, FIDELITY, KINDS, RANK
from medray.storage.shards.reader import Shard

UNCHANGED = 0.5  # correlation of ranks with maps of random weights, from which on they are the same
NORMAL = 1.96  # standard errors on both sides of a mean hold it in 95 %


def concluded(how: str, shards: Sequence[Shard | None]) -> dict[str, Any]:
    """The attribute `explanations` of a version of predictions.

    `fidelity` is insertion less deletion, which is high where a map shows what the answer hangs
    on; `beats` has by how much that is above the fidelity of maps that know nothing: the mean over
    samples, and its 95 % interval by the normal distribution where there are two samples or more.

    Args:
        how: maps were made.
        shards: of the predictions.
    """
    tables = [shard.table for shard in shards if shard is not None]
    table = pa.concat_tables(tables, promote_options="permissive") if tables else pa.table({})
    made: dict[str, Any] = {"how": how, "samples": table.num_rows}
    if "pointing" in table.column_names:
        pointed = [one for one in table["pointing"].to_pylist() if one is not None]
        made["pointing"] = {"samples": len(pointed), "inside": sum(pointed)}
    if RANK not in table.column_names:
        return {"explanations": made}
    checked = table.filter(table[RANK].is_valid())
    values = {name: np.array(checked[name].to_pylist(), np.float64) for name in FIDELITY}
    made["checked"] = checked.num_rows
    made |= {name: float(each.mean()) for name, each in values.items()}
    fidelity = {kind: values[f"insertion{kind}"] - values[f"deletion{kind}"] for kind in KINDS}
    made["beats"] = {
        kind.removeprefix("_"): _mean(fidelity[""] - fidelity[kind]) for kind in KINDS if kind
    }
    for name in (RANK, ALIKE):
        each = np.abs(np.array(checked[name].to_pylist(), np.float64))
        made[name] = [float(one) for one in each.mean(0)]
    return {"explanations": made | {"verdict": verdict(made)}}


def verdict(made: dict[str, Any]) -> list[str]:
    """Why maps show nothing, in words; none where the checks find no reason.

    Args:
        made: as `concluded` has it.
    """
    said = []
    if made[RANK][-1] >= UNCHANGED:
        said.append(
            "the maps do not change when all weights are random (correlation of ranks "
            f"{made[RANK][-1]:.2f}), so they do not show what was learnt"
        )
    names = {"random": "random patches", "centre": "a blob in the middle"}
    for kind, (mean, low, _) in made["beats"].items():
        if low is not None and low <= 0:
            said.append(
                f"the maps show the answer no better than {names[kind]} do (insertion less "
                f"deletion {mean:+.3f} beside theirs)"
            )
    return said


def _mean(values: np.ndarray) -> list[float | None]:
    """The mean, and its interval's ends."""
    mean = float(values.mean())
    if len(values) < 2:
        return [mean, None, None]
    room = NORMAL * float(values.std(ddof=1)) / len(values) ** 0.5
    return [mean, mean - room, mean + room]
