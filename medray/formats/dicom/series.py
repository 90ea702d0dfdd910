"""Instances to series: duplicates, selection with a reason for every rejection, damage.

Every file ends in exactly one place: in a series that is taken, passed over (sound, but not asked
for), or quarantined.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import numpy as np
from pydantic import Field, field_validator

from medray.errors import DataError, PassedOver
from medray.formats.base import FormatOptions
from medray.formats.dicom.tree import SEGMENTATIONS, Facts, Instance, Turned

DOSE_CLASSES = re.compile(r"1\.2\.840\.10008\.5\.1\.4\.1\.1\.(88\.(67|68|76)|481\.2)")
SECONDARY_CAPTURES = re.compile(r"1\.2\.840\.10008\.5\.1\.4\.1\.1\.7(\.[1-4])?")

MODALITIES = frozenset(
    {
        "CT",
        "MR",
        "PT",
        "NM",
        "US",
        "CR",
        "DX",
        "MG",
        "RF",
        "XA",
        "XC",
        "ES",
        "GM",
        "OP",
        "OPT",
        "SM",
    }
    | {"OT", "SC", "IO", "PX", "RG", "RTDOSE", "RTIMAGE", "SEG"}
)


class Select(FormatOptions):
    """Which series to take. A rule that is not set takes all."""

    modality: tuple[str, ...] = Field(("CT", "MR", "PT"), description="modalities to take")
    min_slices: int = Field(3, ge=1, description="scouts and broken transfers are shorter")
    max_slices: int | None = None
    thickness_mm: tuple[float, float] | None = Field(None, description="least, most")
    kernel: str = Field("", description="pattern that the convolution kernel must match")
    description: str = Field("", description="pattern that SeriesDescription must contain")
    exclude: str = Field("", description="pattern that SeriesDescription must not contain")
    secondary_captures: bool = Field(False, description="take them, where text in them is no risk")
    original_only: bool = Field(False, description="leave derived images (MPR, MIP) out")

    @field_validator("kernel", "description", "exclude")
    @classmethod
    def _compiles(cls, pattern: str) -> str:
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from None
        return pattern


@dataclass
class Series:
    """Instances of one series.

    Args:
        study: study instance UID.
        uid: series instance UID.
        instances: one per SOP instance, in order along the normal of the first.
        duplicates: copies, as (index of the instance they repeat, copy).
        fault: why it is not taken, whatever its files are like.
        image: SOP instance UID of the one X-ray that it was parted to.
        is_alone: it was a series of one image.
    """

    study: str
    uid: str
    instances: list[Instance] = field(default_factory=list)
    duplicates: list[tuple[int, Instance]] = field(default_factory=list)
    fault: DataError | None = None
    image: str = ""
    is_alone: bool = True

    @property
    def names(self) -> list[str]:
        """What a table may call it by."""
        return [name for name in (self.image, self.uid if self.is_alone else "") if name]

    @property
    def slices(self) -> int:
        """Frames of all instances."""
        return sum(instance.slices for instance in self.instances)

    @property
    def files(self) -> int:
        """Files of the series without copies."""
        return len(self.instances)


@dataclass
class Sorted:
    """What a tree holds.

    Args:
        series: image series, in order of their first file.
        beside: DICOM SEG files by the series they refer to, and SR or RTSTRUCT where wanted.
        turned: files that belong to no image series, each with its reason.
    """

    series: list[Series]
    beside: dict[str, list[Instance]]
    turned: list[Turned]


def sort_out(
    scanned: Iterable[Instance | Turned], beside: frozenset[str] = SEGMENTATIONS
) -> Sorted:
    """Group scanned files into series, and files of the classes `beside` by what they are about.

    A file with a readable header stays in its series when it is damaged, so that the series is
    refused rather than shortened. A damaged file that tells no series is held against the series of
    its folder, when the folder holds exactly one.
    """
    grouped: dict[tuple[str, str], list[Instance]] = defaultdict(list)
    about: list[Instance] = []
    turned: list[Turned] = []
    for entry in scanned:
        if isinstance(entry, Turned):
            turned.append(entry)
        elif entry.facts.sop_class in beside:
            about.append(entry)
        elif not (entry.facts.study and entry.facts.series):
            fault = entry.fault or DataError("no series UID", code="blank-uid")
            turned.append(Turned(entry.path, fault))
        else:
            grouped[entry.facts.study, entry.facts.series].append(entry)
    series = [_one(key, members) for key, members in grouped.items()]
    _hold_against(series, turned)
    claims = Counter(one.uid for one in series)
    for one in series:
        if claims[one.uid] > 1:
            one.fault = DataError("two studies claim this series UID", code="ambiguous-uid")
    return Sorted(series, _matched(about, series), turned)


def _matched(beside: list[Instance], series: list[Series]) -> dict[str, list[Instance]]:
    """Files by the UID of the series that each is about, "" for none of the tree's.

    The series that they name counts; where that is absent, or none of the tree, the SOP instances
    do: anonymisers and converters lose one or the other.
    """
    here = {one.uid for one in series}
    sources = frozenset[str]().union(*(one.sources for one in beside))
    series_of: dict[str, set[str]] = defaultdict(set)
    for one in series:
        for instance in one.instances:
            if instance.sop in sources:
                series_of[instance.sop].add(one.uid)
    found: dict[str, list[Instance]] = defaultdict(list)
    # A report may refer to nothing but segmentations: it is about what these are about.
    for file in sorted(beside, key=lambda one: one.facts.sop_class not in SEGMENTATIONS):
        named = here.intersection(file.references)
        by_image = set().union(*(series_of.get(sop, ()) for sop in file.sources))
        about = (named & by_image or named) if len(named) != 1 else named
        about = about or by_image
        if len(about) > 1:
            what = "segmentation" if file.facts.sop_class in SEGMENTATIONS else "file"
            fault = DataError(f"the {what} refers to {len(about)} series", code="ambiguous-label")
            file = replace(file, fault=file.fault or fault)
        if file.sop in sources:
            series_of[file.sop] |= about
        found["" if len(about) != 1 else next(iter(about))].append(file)
    return dict(found)


def _one(key: tuple[str, str], members: list[Instance]) -> Series:
    found = Series(*key)
    index_of: dict[str, int] = {}
    # Of two copies the sound one stays, then the one among most of its fellows.
    held = Counter(member.folder for member in members)
    for member in sorted(members, key=lambda m: (m.fault is not None, -held[m.folder], m.path)):
        if member.sop and member.sop in index_of:
            first = found.instances[index_of[member.sop]]
            if member.fault or first.fault or member.position_mm == first.position_mm:
                found.duplicates.append((index_of[member.sop], member))
            else:
                found.instances.append(replace(member, fault=_conflict()))
        else:
            index_of.setdefault(member.sop, len(found.instances))
            found.instances.append(member)
    order = _along_normal(found.instances)
    place = {old: new for new, old in enumerate(order)}
    found.instances = [found.instances[index] for index in order]
    found.duplicates = [(place[index], copy) for index, copy in found.duplicates]
    return found


def parted(series: Series) -> list[Series]:
    """Each X-ray of a series as a series of its own.

    Several of one SOP instance UID, or without any, have a fault: nothing tells them apart.
    """
    claims = Counter(instance.sop for instance in series.instances)
    parts = []
    for at, instance in enumerate(series.instances):
        if claims[instance.sop] > 1:
            instance = replace(instance, fault=_conflict() if instance.sop else _blank())
        copies = [(0, copy) for index, copy in series.duplicates if index == at]
        alone = len(series.instances) == 1
        part = replace(series, instances=[instance], duplicates=copies, is_alone=alone)
        parts.append(replace(part, image=instance.sop))
    return parts


def _blank() -> DataError:
    return DataError("several images without a SOP instance UID", code="blank-uid")


def _conflict() -> DataError:
    return DataError(
        "files of one SOP instance lie at different places",
        code="conflicting-duplicates",
        hint="whatever exported them gave slices one SOP Instance UID: export them again",
    )


def _along_normal(instances: list[Instance]) -> list[int]:
    """Order in which the worker will want them, so that it need not reorder the volume."""
    orientation = next((i.facts.orientation for i in instances if i.facts.orientation), None)
    if orientation is None:
        return list(range(len(instances)))
    normal = np.cross(orientation[:3], orientation[3:])
    depth = [float(normal @ i.position_mm) if i.position_mm else 0.0 for i in instances]
    # What order slices at one place have does not matter, but it must not hang on file names.
    return sorted(range(len(instances)), key=lambda at: (depth[at], instances[at].sop))


def _hold_against(series: list[Series], turned: list[Turned]) -> None:
    by_folder: dict[str, set[int]] = defaultdict(set)
    for index, one in enumerate(series):
        for instance in one.instances:
            by_folder[instance.folder].add(index)
    for entry in turned:
        neighbours = by_folder.get(entry.folder, set())
        if len(neighbours) == 1 and not isinstance(entry.fault, PassedOver):
            fault = DataError(
                f"a damaged file ({entry.fault.code}) lies among its files and may belong to it",
                code="damaged-neighbour",
                hint="remove or replace the damaged file",
            )
            one = series[next(iter(neighbours))]
            one.fault = one.fault or fault


def judge(series: Series, select: Select) -> None:
    """Raise unless the series is asked for and all its files are sound.

    Raises:
        PassedOver: "rejected-localizer", "rejected-modality", "rejected-dose",
            "rejected-secondary-capture", "rejected-derived", "rejected-kernel",
            "rejected-description", "rejected-thickness", "rejected-many-slices".
        DataError: "rejected-few-slices"; or the fault of a damaged file, which comes first unless
            the series is not asked for at all.
    """
    head = series.instances[0].facts
    _by_kind(head, {instance.facts.kinds for instance in series.instances}, select)
    text = head.description
    if select.description and not re.search(select.description, text):
        raise _rejected("description", "the description does not match the rule")
    if select.exclude and re.search(select.exclude, text):
        raise _rejected("description", "the description matches the rule for exclusion")
    if select.kernel and not re.fullmatch(select.kernel, head.kernel):
        raise _rejected("kernel", "the convolution kernel does not match the rule")
    damaged = [i.fault for i in series.instances if i.fault is not None]
    if damaged:
        worst = damaged[0]
        raise DataError(
            f"{len(damaged)} of {len(series.instances)} files: {worst.message}",
            code=worst.code,
            hint=worst.hint,
        )
    if series.fault is not None:
        raise series.fault
    if select.thickness_mm is not None:
        low, high = select.thickness_mm
        if not low <= head.thickness_mm <= high:
            reason = f"slices are {head.thickness_mm:g} mm thick, not {low} to {high}"
            raise _rejected("thickness", reason)
    if series.slices < select.min_slices:
        # A scout, or a broken transfer: nobody can tell, so it is no matter of course.
        reason = f"{series.slices} slices, fewer than {select.min_slices}"
        raise DataError(reason, code="rejected-few-slices", hint="lower `select.min_slices`")
    if select.max_slices is not None and series.slices > select.max_slices:
        raise _rejected("many-slices", f"{series.slices} slices, more than {select.max_slices}")


def _by_kind(head: Facts, kinds: set[tuple[str, ...]], select: Select) -> None:
    sop_class = head.sop_class
    if DOSE_CLASSES.fullmatch(sop_class) or all("DOSE" in " ".join(kind) for kind in kinds):
        raise _rejected("dose", "a dose report or dose grid")
    if all("LOCALIZER" in kind for kind in kinds):
        raise _rejected("localizer", "a localizer (scout)")
    modality = head.modality
    if modality not in select.modality:
        # A closed list: the text of an unknown modality could be anything, a name too.
        known = modality if modality in MODALITIES else "unknown"
        raise _rejected("modality", f"modality {known} is not asked for")
    if SECONDARY_CAPTURES.fullmatch(sop_class) and not select.secondary_captures:
        raise _rejected("secondary-capture", "a secondary capture")
    if select.original_only and any("DERIVED" in kind for kind in kinds):
        raise _rejected("derived", "derived images")


def _rejected(code: str, reason: str) -> PassedOver:
    return PassedOver(reason, code=f"rejected-{code}")
