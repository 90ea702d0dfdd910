"""What a tree of DICOM files holds: scanned, but for what is as it was when it was planned last."""

from collections.abc import Iterator
from dataclasses import replace

from medray.formats.base import Source
from medray.formats.dicom.deidentify import Pseudonyms
from medray.formats.dicom.headers.headers import Limits
from medray.formats.dicom.known import Known, Recalled, Record
from medray.formats.dicom.series import Sorted, sort_out
from medray.formats.dicom.tree import Instance, Turned, scan_tree
from medray.formats.listing import folders


def recall(
    source: Source,
    known: Known | None,
    limits: Limits,
    names: Pseudonyms,
    beside: frozenset[str],
) -> tuple[Sorted, list[Recalled]]:
    """What must be judged now, and what became of the rest.

    Args:
        source: whose root is a folder.
        known: what the last plan made; None: everything is scanned.
        limits: of a file.
        names: pseudonyms.
        beside: SOP classes of files that are about series.
    """
    if known is None:
        return sort_out(scan_tree(source, limits, beside=beside), beside), []
    turned: list[Turned] = []
    for folder in folders(replace(source, root=source.root.resolve()), hidden=True):
        known.add(folder, source.timed)
        turned += [Turned(lost.path, lost.fault) for lost in folder.lost]
    scanned: dict[int, Instance | Turned] = {}

    def scan(numbers: list[int], paths: list[str]) -> Iterator[tuple[str, str, bool]]:
        for number, found in zip(numbers, scan_tree(source, limits, paths, beside), strict=True):
            scanned[number] = found
            uid = found.facts.series if isinstance(found, Instance) else ""
            yield found.folder, names.name("series", uid) if uid else "", found.is_damage

    reused = known.recall(scan, {one.folder for one in turned if one.is_damage})
    return sort_out([*turned, *(scanned[at] for at in sorted(scanned))], beside), reused


def keep(known: Known, found: Sorted, records: list[Record]) -> None:
    """Keep what became of files that were scanned, but for those beside a damaged one."""
    damaged = {one.folder for one in found.turned if one.is_damage}
    known.keep(
        [
            record
            for record in records
            if not damaged.intersection([path.rpartition("/")[0] for path in record.files])
        ]
    )
