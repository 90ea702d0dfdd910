"""Files of one recording: one with its signals, and what was noted of it in files of their own.

A night of Sleep-EDF is two files, SC4001E0-PSG.edf and SC4001EC-Hypnogram.edf, the second of which
holds the stages of sleep and no signal.
"""

import re
from collections.abc import Iterable, Iterator
from decimal import Decimal

from medray.errors import DataError
from medray.formats.edf.header import Header
from medray.formats.edf.tals import Told
from medray.formats.files import File
from medray.storage.shards.records import Refusal

Notes = list[tuple[Decimal, Decimal | None, str]]


def recordings(
    files: Iterable[tuple[File, bool]], pattern: str, refused: list[Refusal]
) -> Iterator[list[File]]:
    """The files of each recording, the one with signals first.

    Args:
        files: each, and whether it has signals.
        pattern: whose first group is equal in the paths of one recording; "": each file is one.
        refused: takes files of annotations that fit to several with signals ("unclear-recording").
    """
    groups: dict[str, list[tuple[File, bool]]] = {}
    for file, signals in files:
        found = re.search(pattern, file.path) if pattern else None
        if found is None:
            yield [file]
        else:
            groups.setdefault(found.group(1), []).append((file, signals))
    for group in groups.values():
        own = [file for file, signals in group if signals]
        told = [file for file, signals in group if not signals]
        if len(own) == 1:
            yield own + told
            continue
        yield from ([file] for file in (own or told))
        for file in told if own else ():
            fault = DataError(
                "annotations of a recording that several files with signals are of",
                code="unclear-recording",
                hint="a pattern under `join` that tells these recordings apart",
            )
            refused.append(Refusal.of(file.path, fault, path=file.path))


def moved(told: Told, header: Header, to: Header) -> Notes:
    """Annotations of a file beside a recording, their onsets counted from when that begins.

    Args:
        told: what the file says.
        header: of it.
        to: header of the recording's signals.

    Raises:
        DataError: the two do not both say when they begin (code "no-start"), or name different
            patients ("mixed-patients").
    """
    if header.start is None or to.start is None:
        raise DataError(
            "files of one recording do not say when they begin",
            code="no-start",
            hint="leave `join` out, or `start: ignore`",
        )
    codes = {header.patient_code, to.patient_code} - {""}
    if len(codes) > 1:
        raise DataError("files of one recording name different patients", code="mixed-patients")
    late = Decimal((header.start - to.start).total_seconds())
    return [(onset + late, duration, text) for onset, duration, text in told.notes]
