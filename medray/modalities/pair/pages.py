"""What a page shows of scores of pairs beside the task's own."""

from medray.formats.pairs.options import AFFINITY, SEQUENCE_ID
from medray.modalities.worst import CANONICAL, Case
from medray.storage.catalog.datasets import Dataset

NAME = 40  # characters of a protein's name, which may be a whole header


def named(case: Case) -> str:
    """A pair by its id and its protein's name, where it has one, or the id of its sequence."""
    protein = str(case.row.get("protein") or case.row.get(SEQUENCE_ID) or "")
    short = protein if len(protein) <= NAME else f"{protein[:NAME]}…"
    return f"{case.id} with {short}" if short else case.id


def unequal(truth: Dataset) -> list[str]:
    """How many pairs of one compound and one sequence have affinities that differ; nothing where
    there are none.

    Args:
        truth: with the columns that the format `pairs` makes.
    """
    table, keys = truth.samples, [CANONICAL, SEQUENCE_ID]
    if not {*keys, AFFINITY} <= set(table.column_names):
        return []
    ends = table.group_by(keys).aggregate([(AFFINITY, "min"), (AFFINITY, "max")])
    low, high = (ends[f"{AFFINITY}_{end}"].to_numpy() for end in ("min", "max"))
    if not (count := int((low < high).sum())):
        return []
    told = (
        f"{count:,} of {len(ends):,} pairs of one compound and one sequence stand there more than"
    )
    return [f"{told} once, with unequal affinities: no answer is right for all of them."]
