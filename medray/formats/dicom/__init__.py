"""DICOM: messy trees of files to regular volumes, de-identified, or a reason why not."""

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from operator import attrgetter
from pathlib import Path
from typing import ClassVar, Literal

from medray.errors import DataError, SpecError
from medray.formats.base import Format, FormatOptions, Found, Input, Source, stamp_of
from medray.formats.dicom.beside import INTERPOLATED, Beside
from medray.formats.dicom.deidentify import Keyed, Plain, Pseudonyms
from medray.formats.dicom.headers.headers import Limits
from medray.formats.dicom.known import Known, Recalled, Record
from medray.formats.dicom.matched import Matched, copied, main_folders
from medray.formats.dicom.options import DicomOptions
from medray.formats.dicom.reader import COLUMNS, Rules, read_series
from medray.formats.dicom.recall import keep, recall
from medray.formats.dicom.series import Series, Sorted, judge, parted
from medray.formats.dicom.tree import SEGMENTATIONS
from medray.formats.files import nothing_found
from medray.formats.imaging.objects import CLIPPED, OBJECTS
from medray.formats.imaging.volume_boxes import unmatched
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
        axes: Literal[2, 3] = 2 if self.options.projections else 3
        return images(labels=bool(self.options.labels) and not self.options.objects, axes=axes)

    def holds(self) -> Holds:
        """Volumes, and masks or objects where `labels` says whose."""
        told = names((OBJECTS, CLIPPED) if self.options.objects else ())
        told |= names((INTERPOLATED,) if self.options.contours else ())
        arrays = self.arrays()
        return Holds(named(arrays), COLUMNS | told, axes=space_axes(arrays))

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
        own = self.options.boxes.annotations if self.options.boxes else None
        turned = [entry for entry in found.turned if entry.path != own]
        refused = [self._refused(entry.path, entry.fault) for entry in turned]
        flat = self.options.projections
        boxes = self.options.boxes.named(source, "series", flat) if self.options.boxes else {}
        matched = Matched(found.beside, self.options, self._masks(source.root), boxes)
        every = found.series
        if flat:
            every = [part for series in found.series for part in parted(series)]
        made = [self._record(source, series, matched) for series in every]
        items, used = [], set()
        claims: dict[str, set[tuple[str, ...]]] = defaultdict(set)
        for series, record in zip(every, made, strict=True):
            if record.input is None:
                continue
            used.add(series.uid)
            for label in record.input.extra.get("labels", ()):
                claims[label].add(tuple(main_folders(series)))
            items.append(record.input)
        refused += [one for record in made for one in record.refused]
        refused += [one for record in reused for one in record.refused]
        torn = {label for label, folders in claims.items() if len(folders) > 1}
        for item in [item for item in items if torn.intersection(item.extra.get("labels", ()))]:
            refused.append(self._given_up(item, _shared()))
            items.remove(item)
        refused += [self._refused(*one) for one in matched.unused(used)]
        absent = boxes.keys() - {name for series in every for name in series.names}
        shown = (self.names.name("series", uid) for uid in absent)
        named_by = "the SeriesInstanceUID of a series that is taken"
        refused += unmatched(shown, named_by + ", or the SOPInstanceUID of an X-ray" * flat)
        told: list[Input | Recalled] = [*items, *(one for one in reused if one.key)]
        keys = Counter(one.key for one in told)
        for one in [one for one in told if keys[one.key] > 1]:
            refused.append(self._given_up(_input_of(one), _twice()))
            told.remove(one)
        refused.sort(key=lambda one: (one.source, one.code))
        if known is not None:
            keep(known, found, [*made, *self._beside(found)])
        told.sort(key=attrgetter("key"))
        inputs = (_input_of(one) for one in told)
        return Found(grouped(inputs, samples=GROUP_SAMPLES), refused, self._attributes())

    def _attributes(self) -> dict[str, object]:
        """Values of masks by name, where the job names them."""
        if not self.options.contours:
            return {}
        return {
            "labels": {name: at for at, name in enumerate(("background", *self.options.classes))}
        }

    def _known(self, source: Source) -> Known | None:
        """What the last plan made, where its files' headers alone decide: labels do too."""
        if source.memory is None or source.by_content or self.options.labels or self.options.boxes:
            return None
        marks = digest([self.options.model_dump(mode="json"), self.names.fingerprint, __version__])
        return Known(source.memory, self.names.name("plan", "known"), marks)

    def _beside(self, found: Sorted) -> list[Record]:
        """What became of files that are no images."""
        return [
            Record([one.path], "", None, [self._refused(one.path, one.fault)])
            for one in found.turned
        ]

    def _record(self, source: Source, series: Series, matched: Matched) -> Record:
        """What becomes of a series, or of an X-ray."""
        name = self.names.name("series", series.uid)
        key = self.names.name("image", series.image) if series.image else name
        files = [one.path for one in series.instances]
        record = Record([*files, *(copy.path for _, copy in series.duplicates)], name, None)
        for _, copy in series.duplicates:
            fault = copy.fault or copied()
            record.refused.append(self._refused(copy.path, fault, copy.facts.syntax))
        try:
            record.input = self._input(source, key, series, matched)
        except DataError as fault:
            first = series.instances[0]
            path, syntax = self._path(first.path), first.facts.syntax
            record.refused.append(
                Refusal.of(key, fault, files=series.files, path=path, syntax=syntax)
            )
        return record

    def named(self) -> list[tuple[str, str]]:
        """The folder of masks, or the table of boxes."""
        if self.options.boxes is not None:
            return [("boxes.annotations", self.options.boxes.annotations)]
        return [("labels", self.options.masks)] if self.options.masks else []

    def files(self, item: Input) -> Iterator[str]:
        """Slices, their copies and the label, where it lies below the source."""
        yield from item.paths
        yield from (path for _, path in item.extra["copies"])
        folder = self.options.masks
        if not Path(folder).is_absolute():
            for label in item.extra.get("labels", ()):
                yield f"{folder}/{label}" if folder else label
        yield from item.extra.get("segmentations", ())

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
        """The volumes of one series, image (C, Z, Y, X) and where there is one label (Z, Y, X); or
        its X-ray, (C, Y, X).

        Raises:
            DataError: geometry, pixels or label are unusable; about the input's key.
        """
        options = self.options
        rules = Rules(
            names=self.names,
            limits=self.limits,
            resample=options.resample,
            projections=options.projections,
            split=options.volumes == "split",
            keep_sex_and_age=options.deidentify.keep_sex_and_age,
        )
        beside = Beside(
            self._masks(source.root),
            options.rois,
            options.contours,
            options.boxes,
            options.classes,
        )
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

    def _input(self, source: Source, key: str, series: Series, matched: Matched) -> Input:
        judge(series, self.options.taken)
        if self.options.deidentify.method == "keyed":
            _check_risk(series)
        copies = [[index, copy.path] for index, copy in series.duplicates if copy.fault is None]
        extra: dict[str, object] = {"slices": series.slices, "copies": copies}
        extra["syntax"] = series.instances[0].facts.syntax
        files = [*series.instances, *(copy for _, copy in series.duplicates)]
        marks, stamps = [file.mark for file in files], [file.stamp for file in files]
        labels = matched.labels(source, series)
        if labels:
            extra["labels"] = list(labels)
            segmentations = matched.segmentations(series.uid)
            if segmentations:
                extra["segmentations"] = list(segmentations)
            for path, stamp in (labels | segmentations).items():
                marks.append([path, *stamp[:2]])
                stamps.append(stamp)
        elif named := [name for name in series.names if name in matched.boxes]:
            extra["boxes"] = [box for name in named for box in matched.boxes[name]]
        elif (self.options.labels or self.options.boxes) and self.options.require_labels:
            what = "objects belong" if self.options.objects else "mask belongs"
            raise DataError(f"no {what} to the series", code="no-label")
        identity = json.dumps([self.names.fingerprint, marks], separators=(",", ":"))
        return Input(
            key=key,
            paths=tuple(instance.path for instance in series.instances),
            fingerprint=hashlib.sha256(identity.encode()).hexdigest()[:32],
            size=sum(file.stamp[0] for file in files),
            extra=extra,
            stamp=stamp_of(stamps),
        )

    def _given_up(self, item: Input, fault: DataError) -> Refusal:
        path, syntax = self.shown(item)
        return Refusal.of(item.key, fault, files=len(item.paths), path=path, syntax=syntax)

    def _refused(self, path: str, fault: DataError, syntax: str = "") -> Refusal:
        key = self.names.name("file", path)
        return Refusal.of(key, fault, path=self._path(path), syntax=syntax)

    def _path(self, path: str) -> str:
        """What may be shown of a path; paths often hold names."""
        wanted = self.options.deidentify
        return path if wanted.method == "none" or wanted.show_paths else ""


def _input_of(one: Input | Recalled) -> Input:
    return one.input if isinstance(one, Recalled) else one


def _twice() -> DataError:
    return DataError("two series claim this SOP instance UID", code="ambiguous-uid")


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
