"""DICOM: messy trees of files to regular volumes, de-identified, or a reason why not."""

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from operator import attrgetter
from pathlib import Path
from typing import ClassVar

from medray.errors import DataError, PassedOver, SpecError
from medray.formats.base import Format, FormatOptions, Found, Input, Source, Stamp, stamp_of
from medray.formats.dicom.beside import Beside
from medray.formats.dicom.deidentify import Keyed, Plain, Pseudonyms
from medray.formats.dicom.headers.headers import Limits
from medray.formats.dicom.known import Known, Recalled, Record
from medray.formats.dicom.labels import find_nifti
from medray.formats.dicom.options import DicomOptions
from medray.formats.dicom.reader import COLUMNS, Rules, read_series
from medray.formats.dicom.recall import keep, recall
from medray.formats.dicom.series import Series, Sorted, judge
from medray.formats.dicom.tree import SEGMENTATIONS, Instance
from medray.formats.files import nothing_found
from medray.formats.imaging.objects import CLIPPED, OBJECTS
from medray.formats.packed import grouped
from medray.formats.site_key import load_key
from medray.ids import digest
from medray.storage.shards.forms.ome import images
from medray.storage.shards.holds import Holds, named, names
from medray.storage.shards.records import Refusal
from medray.storage.shards.samples import Sample
from medray.storage.shards.schema import Arrays, space_axes
from medray.version import __version__

GROUP_SAMPLES = 8

__all__ = ["Dicom"]


class Dicom(Format):
    """DICOM series; one sample per volume."""

    name: ClassVar[str] = "dicom"
    Options: ClassVar[type[FormatOptions]] = DicomOptions
    libraries: ClassVar[tuple[str, ...]] = (
        "pydicom",
        "pylibjpeg",
        "openjpeg",
        "jpeg_ls",
        "imagecodecs",
    )
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

    def arrays(self) -> Arrays:
        """Volumes, and masks where `labels` says whose."""
        return images(labels=bool(self.options.labels) and not self.options.rois, axes=3)

    def holds(self) -> Holds:
        """Volumes, and masks or objects where `labels` says whose."""
        objects = names((OBJECTS, CLIPPED) if self.options.rois else ())
        arrays = self.arrays()
        return Holds(named(arrays), COLUMNS | objects, axes=space_axes(arrays))

    def ready(self) -> None:
        """Libraries, and the site's key.

        Raises:
            SpecError: one is not installed, or the key is missing or weak.
        """
        super().ready()
        if self.options.deidentify.method == "keyed":
            load_key(self.options.deidentify.key_env, self.options.deidentify.key_file)

    def plan(self, source: Source) -> Found:
        """Series by their headers; every file of the tree is in an input or among the refused.

        Raises:
            SpecError: "no-such-source", "nothing-found" (not a single file), or a key of
                de-identification is missing.
        """
        if not source.root.is_dir():
            raise SpecError(
                "the source is no folder", code="no-such-source", about=str(source.root)
            )
        known = self._known(source)
        beside = SEGMENTATIONS | self.options.beside
        found, reused = recall(source, known, self.limits, self.names, beside)
        if not (found.series or found.beside or found.turned or reused):
            nothing_found(source, "file", "files of any name count, in any folder below it")
        refused = [self._refused(entry.path, entry.fault) for entry in found.turned]
        made = [self._record(source, series, found) for series in found.series]
        items, used = [], set()
        claims: dict[str, set[tuple[str, ...]]] = defaultdict(set)
        for series, record in zip(found.series, made, strict=True):
            if record.input is None:
                continue
            used.add(series.uid)
            for label in record.input.extra.get("labels", ()):
                claims[label].add(tuple(_main_folders(series)))
            items.append(record.input)
        refused += [one for record in made for one in record.refused]
        refused += [one for record in reused for one in record.refused]
        torn = {label for label, folders in claims.items() if len(folders) > 1}
        for item in [item for item in items if torn.intersection(item.extra.get("labels", ()))]:
            path, syntax = self.shown(item)
            files = len(item.paths)
            refused.append(Refusal.of(item.key, _shared(), files=files, path=path, syntax=syntax))
            items.remove(item)
        refused += self._unused(found, used)
        refused.sort(key=lambda one: (one.source, one.code))
        if known is not None:
            keep(known, found, [*made, *self._beside(found)])
        told: list[Input | Recalled] = [*items, *(one for one in reused if one.key)]
        told.sort(key=attrgetter("key"))
        inputs = (one.input if isinstance(one, Recalled) else one for one in told)
        return Found(grouped(inputs, samples=GROUP_SAMPLES), refused)

    def _known(self, source: Source) -> Known | None:
        """What the last plan made, where its files' headers alone decide: labels do too."""
        if source.memory is None or source.by_content or self.options.labels:
            return None
        marks = digest([self.options.model_dump(mode="json"), self.names.fingerprint, __version__])
        return Known(source.memory, self.names.name("plan", "known"), marks)

    def _beside(self, found: Sorted) -> list[Record]:
        """What became of files that are no images."""
        return [
            Record([one.path], "", None, [self._refused(one.path, one.fault)])
            for one in found.turned
        ]

    def _record(self, source: Source, series: Series, found: Sorted) -> Record:
        """What becomes of a series."""
        key = self.names.name("series", series.uid)
        files = [one.path for one in series.instances]
        record = Record([*files, *(copy.path for _, copy in series.duplicates)], key, None)
        for _, copy in series.duplicates:
            fault = copy.fault or _copy()
            record.refused.append(self._refused(copy.path, fault, copy.facts.syntax))
        try:
            record.input = self._input(source, key, series, found)
        except DataError as fault:
            first = series.instances[0]
            path, syntax = self._path(first.path), first.facts.syntax
            record.refused.append(
                Refusal.of(key, fault, files=series.files, path=path, syntax=syntax)
            )
        return record

    def named(self) -> list[tuple[str, str]]:
        """The folder of masks."""
        return [("labels", self.options.masks)] if self.options.masks else []

    def files(self, item: Input) -> Iterator[str]:
        """Slices, their copies and the label, where it lies below the source."""
        yield from item.paths
        yield from (path for _, path in item.extra["copies"])
        folder = self.options.masks
        if not Path(folder).is_absolute():
            for label in item.extra.get("labels", ()):
                yield f"{folder}/{label}" if folder else label

    def opens(self, item: Input) -> Iterator[str]:
        """As `files`, and the label wherever it lies."""
        yield from self.files(item)
        folder = self.options.masks
        if Path(folder).is_absolute():
            yield from (f"{folder}/{label}" for label in item.extra.get("labels", ()))

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
        beside = Beside(self._masks(source.root), options.rois, options.classes)
        try:
            resolved = replace(source, root=source.root.resolve())
            yield from read_series(resolved, item, rules, beside)
        except DataError as fault:
            # Files are named by paths, and paths often hold names: the key is all that leaves.
            raise DataError(
                fault.message, code=fault.code, about=item.key, hint=fault.hint
            ) from None

    def _masks(self, root: Path) -> Path | None:
        # `root / absolute` is the absolute path.
        return root / self.options.masks if self.options.masks else None

    def _input(self, source: Source, key: str, series: Series, found: Sorted) -> Input:
        judge(series, self.options.select)
        if self.options.deidentify.method == "keyed":
            _check_risk(series)
        copies = [[index, copy.path] for index, copy in series.duplicates if copy.fault is None]
        extra: dict[str, object] = {"slices": series.slices, "copies": copies}
        extra["syntax"] = series.instances[0].facts.syntax
        files = [*series.instances, *(copy for _, copy in series.duplicates)]
        marks, stamps = [file.mark for file in files], [file.stamp for file in files]
        labels = self._labels(source, series, found)
        if labels:
            extra["labels"] = list(labels)
            marks += [[path, *stamp[:2]] for path, stamp in labels.items()]
            stamps += labels.values()
        elif self.options.labels and self.options.require_labels:
            what = "file with objects" if self.options.rois else "mask"
            raise DataError(f"no {what} belongs to the series", code="no-label")
        identity = json.dumps([self.names.fingerprint, marks], separators=(",", ":"))
        return Input(
            key=key,
            paths=tuple(instance.path for instance in series.instances),
            fingerprint=hashlib.sha256(identity.encode()).hexdigest()[:32],
            size=sum(file.stamp[0] for file in files),
            extra=extra,
            stamp=stamp_of(stamps),
        )

    def _labels(self, source: Source, series: Series, found: Sorted) -> dict[str, Stamp]:
        """The mask of a series, or its objects, and other files of the same ones, by name."""
        masks = self._masks(source.root)
        if masks is None:
            files = self._about(found, series.uid)
            distinct = len({file.sop for file in files})
            if distinct > 1:
                what = "files with objects" if self.options.rois else "segmentations"
                raise DataError(
                    f"{distinct} {what} refer to the series",
                    code="many-labels",
                    hint="leave one of them in the source",
                )
            for file in files:
                if file.fault is not None:
                    raise file.fault
            return {file.path: file.stamp for file in files}
        paths = {
            find_nifti(masks, (series.uid, folder, folder.rpartition("/")[2]))
            for folder in _main_folders(series)
        }
        fit = [path for path in paths if path is not None]
        if len(fit) > 1:
            raise DataError("masks of two of its folders fit the series", code="many-labels")
        names = {path.relative_to(masks).as_posix(): path for path in fit}
        return {
            name: source.stamp(f"{self.options.masks}/{name}", path.stat())
            for name, path in names.items()
        }

    def _about(self, found: Sorted, uid: str) -> list[Instance]:
        """Files about a series, of those that `labels` names."""
        wanted = self.options.beside
        return [file for file in found.beside.get(uid, ()) if file.facts.sop_class in wanted]

    def _unused(self, found: Sorted, used: set[str]) -> Iterator[Refusal]:
        """Files about series that are not taken, and copies."""
        for uid, files in found.beside.items():
            mine = self._about(found, uid) if uid in used else []
            for copy in mine[1:]:
                yield self._refused(copy.path, _copy(), copy.facts.syntax)
            for file in files:
                if file not in mine:
                    what = "segmentation" if file.facts.sop_class in SEGMENTATIONS else "file"
                    reason = f"a {what} of no series that is taken"
                    fault = file.fault or PassedOver(reason, code="rejected-modality")
                    yield self._refused(file.path, fault, file.facts.syntax)

    def _refused(self, path: str, fault: DataError, syntax: str = "") -> Refusal:
        key = self.names.name("file", path)
        return Refusal.of(key, fault, path=self._path(path), syntax=syntax)

    def _path(self, path: str) -> str:
        """What may be shown of a path; paths often hold names."""
        wanted = self.options.deidentify
        return path if wanted.method == "none" or wanted.show_paths else ""


def _main_folders(series: Series) -> list[str]:
    """The folders of most of its files: a stray one elsewhere must not decide."""
    held = Counter(file.folder for file in series.instances)
    most = max(held.values())
    return sorted(folder for folder, files in held.items() if files == most)


def _copy() -> DataError:
    return PassedOver("a copy of another file", code="rejected-duplicate")


def _shared() -> DataError:
    return DataError(
        "its mask fits series of several folders of one name",
        code="ambiguous-label",
        hint="name the mask by the series UID, or put it below the folder's whole path",
    )


def _check_risk(series: Series) -> None:
    risk = next((file.facts.risk for file in series.instances if file.facts.risk), "")
    if risk:
        raise DataError(
            risk, code="burned-in-risk", hint="clean the pixels, or leave the modality out"
        )
