"""DICOM: messy trees of files to regular volumes, de-identified, or a reason why not."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from medray.errors import DataError, PassedOver, SpecError
from medray.formats.base import Format, FormatOptions, Input, Plan, Source, grouped
from medray.formats.dicom.deidentify import Keyed, Plain, Pseudonyms
from medray.formats.dicom.headers import LIMITS, Limits
from medray.formats.dicom.labels import find_nifti
from medray.formats.dicom.reader import Rules, read_series
from medray.formats.dicom.series import Select, Series, Sorted, judge, sort_out
from medray.formats.dicom.tree import scan_tree
from medray.formats.files import nothing_found
from medray.formats.site_key import load_key
from medray.storage.records import Refusal
from medray.storage.samples import Sample

GROUP_SAMPLES = 8

__all__ = ["Dicom"]


class Deidentify(FormatOptions):
    """How identifiers leave the format; the key itself never stands here."""

    method: Literal["keyed", "none"] = Field(
        "keyed", description="none: the source is de-identified already"
    )
    key_env: str = Field("MEDRAY_DEID_KEY", description="environment variable that holds the key")
    key_file: str = Field("", description="file that holds the key; goes before key_env")
    show_paths: bool = Field(
        False, description="name files by path in the quarantine: only where paths name nobody"
    )
    keep_sex_and_age: bool = Field(
        False, description="option 113108 of PS3.15; ages from 90 become 90"
    )


class DicomOptions(FormatOptions):
    """How to read DICOM."""

    select: Select = Select()
    deidentify: Deidentify = Deidentify()
    labels: str = Field(
        "",
        description="folder of masks (absolute, or below the source) named <series UID> or <folder "
        "of the series> with .nii.gz; `seg`: DICOM SEG files of the source; empty: no masks",
    )
    require_labels: bool = Field(True, description="with labels: refuse series without a mask")
    resample: bool = Field(
        False, description="interpolate tilted or unevenly spaced series onto a regular grid"
    )
    volumes: Literal["refuse", "split"] = Field(
        "refuse", description="4-D series: refused, or one sample per volume"
    )
    max_file_bytes: int = Field(LIMITS.file_bytes, gt=0, description="refuse larger files")
    max_bytes: int = Field(LIMITS.sample_bytes, gt=0, description="refuse larger volumes")


class Dicom(Format):
    """DICOM series; one sample per volume."""

    name: ClassVar[str] = "dicom"
    Options: ClassVar[type[FormatOptions]] = DicomOptions
    options: DicomOptions

    @cached_property
    def names(self) -> Pseudonyms:
        """Pseudonyms under the site's key, which is read when first needed."""
        wanted = self.options.deidentify
        if wanted.method == "none":
            return Plain()
        return Keyed(load_key(wanted.key_env, wanted.key_file))

    @property
    def limits(self) -> Limits:
        """Sizes to refuse."""
        return Limits(file_bytes=self.options.max_file_bytes, sample_bytes=self.options.max_bytes)

    def plan(self, source: Source) -> Plan:
        """Series by their headers; every file of the tree is in an input or among the refused.

        Raises:
            SpecError: "no-such-source", "nothing-found" (not a single file), or a key of
                de-identification is missing.
        """
        if not source.root.is_dir():
            raise SpecError(
                "the source is no folder", code="no-such-source", about=str(source.root)
            )
        root = source.root.resolve()
        found = sort_out(scan_tree(source, self.limits))
        if not (found.series or found.segmentations or found.turned):
            nothing_found(source, "file", "files of any name count, in any folder below it")
        refused = [self._refused(entry.path, entry.fault) for entry in found.turned]
        items, used = [], set()
        for series in found.series:
            key = self.names.name("series", series.uid)
            for _, copy in series.duplicates:
                repeated = PassedOver("a copy of another file", code="rejected-duplicate")
                refused.append(self._refused(copy.path, repeated, copy.facts.syntax))
            try:
                items.append(self._input(root, key, series, found))
                used.add(series.uid)
            except DataError as fault:
                first = series.instances[0]
                path, syntax = self._path(first.path), first.facts.syntax
                refused.append(Refusal.of(key, fault, files=series.files, path=path, syntax=syntax))
        refused += self._unused_segmentations(found, used)
        items.sort(key=lambda item: item.key)
        return Plan(grouped(items, samples=GROUP_SAMPLES), refused)

    def named(self) -> list[tuple[str, str]]:
        """The folder of masks."""
        labels = self.options.labels
        return [] if labels in ("", "seg") else [("labels", labels)]

    def files(self, item: Input) -> Iterator[str]:
        """Slices, their copies and the label, where it lies below the source."""
        yield from item.paths
        yield from (path for _, path in item.extra["copies"])
        label, folder = item.extra.get("label"), self.options.labels
        if label is not None and not Path(folder).is_absolute():
            yield label if folder == "seg" else f"{folder}/{label}"

    def shown(self, item: Input) -> tuple[str, str]:
        """Its first file, where the job says that paths name nobody; and its transfer syntax."""
        return self._path(item.paths[0]), item.extra["syntax"]

    def read(self, source: Source, item: Input) -> Iterator[Sample | Refusal]:
        """The volumes of one series, image (C, Z, Y, X) and where there is one label (Z, Y, X).

        Raises:
            DataError: geometry, pixels or label are unusable; about the input's key.
        """
        options = self.options
        rules = Rules(
            names=self.names,
            limits=self.limits,
            resample=options.resample,
            split=options.volumes == "split",
            keep_sex_and_age=options.deidentify.keep_sex_and_age,
        )
        try:
            yield from read_series(source.root.resolve(), item, rules, self._masks(source.root))
        except DataError as fault:
            # Files are named by paths, and paths often hold names: the key is all that leaves.
            raise DataError(
                fault.message, code=fault.code, about=item.key, hint=fault.hint
            ) from None

    def _masks(self, root: Path) -> Path | None:
        # `root / absolute` is the absolute path.
        return root / self.options.labels if self.options.labels not in ("", "seg") else None

    def _input(self, root: Path, key: str, series: Series, found: Sorted) -> Input:
        judge(series, self.options.select)
        if self.options.deidentify.method == "keyed":
            _check_risk(series)
        copies = [[index, copy.path] for index, copy in series.duplicates]
        extra: dict[str, object] = {"slices": series.slices, "copies": copies}
        extra["syntax"] = series.instances[0].facts.syntax
        files = [*series.instances, *(copy for _, copy in series.duplicates)]
        stamps = [[file.path, file.size, file.mtime_ns] for file in files]
        label = self._label(root, series, found)
        if label:
            extra["label"], stamp = label
            stamps.append(stamp)
        elif self.options.labels and self.options.require_labels:
            raise DataError("no mask belongs to the series", code="no-label")
        identity = json.dumps([self.names.fingerprint, stamps], separators=(",", ":"))
        return Input(
            key=key,
            paths=tuple(instance.path for instance in series.instances),
            fingerprint=hashlib.sha256(identity.encode()).hexdigest()[:32],
            size=sum(file.size for file in files),
            extra=extra,
        )

    def _label(self, root: Path, series: Series, found: Sorted) -> tuple[str, list[object]] | None:
        if self.options.labels == "seg":
            candidates = found.segmentations.get(series.uid, [])
            if len(candidates) > 1:
                raise DataError(
                    f"{len(candidates)} segmentations refer to the series", code="many-labels"
                )
            if not candidates:
                return None
            file = candidates[0]
            return file.path, [file.path, file.size, file.mtime_ns]
        masks = self._masks(root)
        if masks is None:
            return None
        # The folder of most files: a stray one elsewhere must not decide.
        folders = Counter(file.folder for file in series.instances)
        folder = folders.most_common(1)[0][0]
        path = find_nifti(masks, (series.uid, folder.rpartition("/")[2], folder))
        if path is None:
            return None
        status = path.stat()
        name = path.relative_to(masks).as_posix()
        return name, [name, status.st_size, status.st_mtime_ns]

    def _unused_segmentations(self, found: Sorted, used: set[str]) -> Iterator[Refusal]:
        unused = PassedOver("a segmentation of no series that is taken", code="rejected-modality")
        for uid, files in found.segmentations.items():
            if self.options.labels == "seg" and uid in used:
                continue
            for file in files:
                yield self._refused(file.path, file.fault or unused, file.facts.syntax)

    def _refused(self, path: str, fault: DataError, syntax: str = "") -> Refusal:
        key = self.names.name("file", path)
        return Refusal.of(key, fault, path=self._path(path), syntax=syntax)

    def _path(self, path: str) -> str:
        """What may be shown of a path; paths often hold names."""
        wanted = self.options.deidentify
        return path if wanted.method == "none" or wanted.show_paths else ""


def _check_risk(series: Series) -> None:
    risk = next((file.facts.risk for file in series.instances if file.facts.risk), "")
    if risk:
        raise DataError(
            risk, code="burned-in-risk", hint="clean the pixels, or leave the modality out"
        )
