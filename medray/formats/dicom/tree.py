"""From a messy tree of files to instances: every file is looked at, none is believed by its name.

A scan reads one header: 0.05 ms of Python, and some ms of waiting where the archive is elsewhere.
Threads wait together, but take turns in Python and lose by it: they scan only where files wait. A
disk of this machine is asked for many headers at once, and then hardly waited for.
"""

import itertools
import os
import re
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from functools import lru_cache

from medray.errors import DataError, PassedOver
from medray.formats.base import Source, Stamp
from medray.formats.dicom.confined import Confined, Opened
from medray.formats.dicom.deidentify import burned_in_risk
from medray.formats.dicom.headers import tags
from medray.formats.dicom.headers.elements import Elements
from medray.formats.dicom.headers.headers import FIRST_READ, PEEK, Limits, scan
from medray.formats.dicom.headers.sources import sources_of
from medray.formats.dicom.no_image import foreign, no_image
from medray.formats.dicom.pixels.frame import Frame
from medray.formats.dicom.pixels.frames import frames
from medray.formats.dicom.pixels.pixels import Layout
from medray.formats.listing import folders

SCAN_THREADS = 8
UID = re.compile(rb"[0-9]+(\.[0-9]+)*")
BATCH_FILES = 32  # of a folder; what is fetched from elsewhere is looked at one by one
ROUND_FILES = 2048  # the first batch of a round shows whether files wait

SEGMENTATIONS = frozenset({"1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7"})
FACTS = (
    tags.STUDY_INSTANCE_UID,
    tags.SERIES_INSTANCE_UID,
    tags.SOP_CLASS_UID,
    tags.MODALITY,
    tags.IMAGE_TYPE,
    tags.SERIES_DESCRIPTION,
    tags.CONVOLUTION_KERNEL,
    tags.BURNED_IN_ANNOTATION,
)
"""What facts are made of, besides the first frame."""
NO_FRAME = Frame((), (), (), 0.0, 1.0, 0.0, 0, "", 0)


@dataclass(frozen=True, slots=True)
class Facts:
    """What the slices of a series have in common; they share one object in memory.

    Args:
        study: study instance UID.
        series: series instance UID.
        sop_class: SOP class UID.
        modality: CT, MR and so on.
        kinds: values of ImageType.
        description: SeriesDescription.
        kernel: convolution kernel.
        thickness_mm: of the slices.
        orientation: of the first frame, () where absent.
        syntax: transfer syntax UID.
        risk: why text may be burned into the pixels, "" where nothing points to it.
    """

    study: str
    series: str
    sop_class: str
    modality: str
    kinds: tuple[str, ...]
    description: str
    kernel: str
    thickness_mm: float
    orientation: tuple[float, ...]
    syntax: str
    risk: str


Seen = dict[tuple[object, ...], Facts]  # by what they are made of


@dataclass(frozen=True, slots=True)
class Instance:
    """One file that holds, or should hold, images: about 0.7 kB, since an archive has millions.

    Args:
        path: below the source's root.
        stamp: see `Source.stamp`; its size comes first.
        facts: shared with the other slices of its series.
        sop: SOP instance UID.
        number: InstanceNumber.
        slices: frames in it, 0 when it is damaged.
        position_mm: of the first frame, () where absent.
        fault: why the file cannot be used, None when it can.
        references: series that a file refers to which is about them.
        sources: SOP instances that it refers to.
    """

    path: str
    stamp: Stamp
    facts: Facts
    sop: str
    number: int
    slices: int
    position_mm: tuple[float, ...]
    fault: DataError | None
    references: tuple[str, ...] = ()
    sources: frozenset[str] = frozenset()

    @property
    def folder(self) -> str:
        """The path without its last part; "" at the root."""
        return self.path.rpartition("/")[0]

    @property
    def mark(self) -> list[object]:
        """What it is in fingerprints."""
        return [self.path, *self.stamp[:2]]

    @property
    def is_damage(self) -> bool:
        """Never: what is damaged of an instance stays with it."""
        return False


@dataclass(frozen=True, slots=True)
class Turned:
    """A file that is no instance at all.

    Args:
        path: below the source's root.
        fault: code and reason; PassedOver is no damage.
    """

    path: str
    fault: DataError

    @property
    def folder(self) -> str:
        """The path without its last part; "" at the root."""
        return self.path.rpartition("/")[0]

    @property
    def is_damage(self) -> bool:
        """Whether it may be a part of some series."""
        return not isinstance(self.fault, PassedOver)


def walk(source: Source) -> Iterator[str | Turned]:
    """Every file below the source, sorted within its folder; see `listing.folders`.

    Links to what lies below the root are turned away ("rejected-link"), as it is found there.
    """
    for folder in folders(source, hidden=True):
        yield from folder.files.to_pylist()
        yield from (Turned(lost.path, lost.fault) for lost in folder.lost)


def scan_tree(
    source: Source,
    limits: Limits,
    listed: Iterable[str | Turned] | None = None,
    beside: frozenset[str] = SEGMENTATIONS,
) -> Iterator[Instance | Turned]:
    """Scan every file of a source, in order.

    Args:
        source: whose root is a folder.
        limits: of a file.
        listed: its files; None: as `walk` finds them.
        beside: SOP classes of files that are about series.
    """
    seen: Seen = {}
    source = replace(source, root=source.root.resolve())
    files = Confined(source)

    def look(batch: list[str | Turned]) -> list[Instance | Turned]:
        if source.far:
            return [e if isinstance(e, Turned) else look_into(e) for e in batch]
        paths = (entry for entry in batch if isinstance(entry, str))
        with closing(files.open_all(paths, PEEK)) as opened:
            return [
                e if isinstance(e, Turned) else _look(source, e, next(opened), limits, seen, beside)
                for e in batch
            ]

    def look_into(path: str) -> Instance | Turned:
        source.fetch(path, FIRST_READ)
        found = look_at(source, files, path, limits, seen, beside)
        if not _is_settled(found, beside):  # the header may go on beyond what was fetched
            source.fetch(path, limits.header_bytes)
            found = look_at(source, files, path, limits, seen, beside)
        source.drop(path)
        return found

    step = 1 if source.far else BATCH_FILES
    batches = _batches(walk(source) if listed is None else iter(listed), step)
    with ThreadPoolExecutor(SCAN_THREADS, "dicom-scan") as pool:
        # A round in flight is bounded, so a tree of 20 million files is never listed whole.
        while first := next(batches, None):
            began, ran = time.perf_counter(), time.thread_time()
            found = look(first)
            waited = time.perf_counter() - began > 2 * (time.thread_time() - ran)
            waits = source.far or waited
            yield from found
            others = itertools.islice(batches, ROUND_FILES // step - 1)
            for found in pool.map(look, others) if waits else map(look, others):
                yield from found


def _is_settled(found: Instance | Turned, beside: frozenset[str]) -> bool:
    # Of an image nothing is read behind its pixels' tag; of what is about one, references are.
    whole = isinstance(found, Instance) and found.fault is None
    return whole and found.facts.sop_class not in beside  # type: ignore[union-attr]


def _batches(entries: Iterator[str | Turned], step: int) -> Iterator[list[str | Turned]]:
    while batch := list(itertools.islice(entries, step)):
        yield batch


def look_at(
    source: Source,
    files: Confined,
    path: str,
    limits: Limits,
    seen: Seen,
    beside: frozenset[str] = SEGMENTATIONS,
) -> Instance | Turned:
    """Scan one file. Damage behind a readable header stays with the instance, as its fault.

    Args:
        source: of the file.
        files: opens those of the source.
        path: below its root.
        limits: of the file.
        seen: facts of other files; most files have those of the file before.
        beside: SOP classes of files that are about series.
    """
    with closing(files.open_all([path], PEEK)) as opened:
        return _look(source, path, next(opened), limits, seen, beside)


def _look(
    source: Source,
    path: str,
    opened: Opened | DataError,
    limits: Limits,
    seen: Seen,
    beside: frozenset[str],
) -> Instance | Turned:
    try:
        if isinstance(opened, DataError):
            raise opened
        handle, status = opened
        header = scan(handle, status.st_size, limits)
        stamp = source.stamp(path, status)
    except DataError as fault:
        # Without its traceback, which holds what was read of the file.
        return Turned(
            path, foreign(path) if fault.code == "not-dicom" else fault.with_traceback(None)
        )
    except OSError as error:
        reason = f"the file cannot be read: {os.strerror(error.errno or 0)}"
        return Turned(path, DataError(reason, code="unreadable"))
    elements = header.elements
    about = elements.text(tags.SOP_CLASS_UID) in beside
    rejected = None if about and not header.directory else no_image(elements, header)
    if rejected:
        return Turned(path, rejected)
    described: list[Frame] = []
    damage = None
    try:
        if not about:
            Layout(header, limits)
            described = frames(header)
        _check_identity(elements)
    except DataError as fault:
        damage = fault.with_traceback(None)
    first = described[0] if described else NO_FRAME
    made_of = (first.thickness_mm, first.orientation, header.syntax, *map(elements.raw.get, FACTS))
    facts = seen.get(made_of)
    if facts is None:
        facts = seen.setdefault(made_of, _facts(elements, first, header.syntax))
    return Instance(
        path,
        stamp,
        facts,
        elements.text(tags.SOP_INSTANCE_UID),
        first.number,
        len(described),
        first.position_mm,
        damage,
        *(sources_of(elements) if about else ()),
    )


def _facts(elements: Elements, first: Frame, syntax: str) -> Facts:
    return Facts(
        study=elements.text(tags.STUDY_INSTANCE_UID),
        series=elements.text(tags.SERIES_INSTANCE_UID),
        sop_class=elements.text(tags.SOP_CLASS_UID),
        modality=elements.text(tags.MODALITY),
        kinds=elements.texts(tags.IMAGE_TYPE),
        description=elements.text(tags.SERIES_DESCRIPTION),
        kernel=elements.text(tags.CONVOLUTION_KERNEL),
        thickness_mm=first.thickness_mm,
        orientation=first.orientation,
        syntax=syntax,
        risk=burned_in_risk(elements),
    )


def _check_identity(elements: Elements) -> None:
    for tag in (tags.STUDY_INSTANCE_UID, tags.SERIES_INSTANCE_UID, tags.SOP_INSTANCE_UID):
        if not _is_uid(elements.raw.get(tag, b"")):
            raise DataError(
                "study, series or instance UID is blank or malformed",
                code="blank-uid",
                hint="a broken anonymisation; ask for the series again",
            )


@lru_cache(64)  # a study's and a series' are those of the file before
def _is_uid(value: bytes) -> bool:
    return len(uid := value.strip(b" \0")) <= 64 and UID.fullmatch(uid) is not None
