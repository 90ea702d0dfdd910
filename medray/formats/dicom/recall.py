"""What a tree of DICOM files holds: scanned, but for what is as it was when it was planned last."""

from collections.abc import Iterator
from dataclasses import replace

from medray.formats.base import Source
from medray.formats.dicom.deidentify import Pseudonyms
from medray.formats.dicom.headers import Limits
from medray.formats.dicom.known import Known, Record
from medray.formats.dicom.series import Sorted, sort_out
from medray.formats.dicom.tree import Instance, Turned, scan_tree
from medray.formats.listing import Lost, entries


def recall(
    source: Source, known: Known | None, limits: Limits, names: Pseudonyms
) -> tuple[Sorted, list[Record]]:
    """What must be judged now, and what became of the rest.

    Args:
        source: whose root is a folder.
        known: what the last plan made; None: everything is scanned.
        limits: of a file.
        names: pseudonyms.
    """
    if known is None:
        return sort_out(scan_tree(source, limits)), []
    turned: list[Turned] = []
    for entry in entries(replace(source, root=source.root.resolve()), hidden=True):
        if isinstance(entry, Lost):
            turned.append(Turned(entry.path, entry.fault))
        else:
            known.add(source, *entry)
    scanned: dict[int, Instance | Turned] = {}

    def scan(numbers: list[int]) -> Iterator[tuple[str, str, bool]]:
        listed = (known.paths[number] for number in numbers)
        for number, found in zip(numbers, scan_tree(source, limits, listed), strict=True):
            scanned[number] = found
            uid = found.facts.series if isinstance(found, Instance) else ""
            yield found.folder, names.name("series", uid) if uid else "", found.is_damage

    reused = known.recall(scan, {one.folder for one in turned if one.is_damage})
    return sort_out([*turned, *(scanned[number] for number in sorted(scanned))]), reused


def keep(known: Known, found: Sorted, records: list[Record]) -> None:
    """Keep what became of files, but for those beside a damaged one."""
    damaged = {one.folder for one in found.turned if one.is_damage}
    known.keep(
        [
            record
            for record in records
            if not damaged.intersection([path.rpartition("/")[0] for path in record.files])
        ]
    )
