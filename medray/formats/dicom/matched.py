"""Which files beside series belong to which: masks by name, all others by what they refer to."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path

from medray.errors import DataError, PassedOver
from medray.formats.base import Source, Stamp
from medray.formats.dicom.labels import find_nifti
from medray.formats.dicom.options import DicomOptions
from medray.formats.dicom.series import Series
from medray.formats.dicom.tree import SEGMENTATIONS, Instance
from medray.formats.imaging.volume_boxes import Named


@dataclass(frozen=True)
class Matched:
    """Files beside the series of a tree.

    Args:
        found: DICOM files by the UID of the series that they are about.
        options: what is wanted of them.
        masks: folder of masks in NIfTI, None where none are asked for.
        boxes: of a table, by the UID of their series, or of their X-ray.
    """

    found: Mapping[str, list[Instance]]
    options: DicomOptions
    masks: Path | None
    boxes: Named

    def labels(self, source: Source, series: Series) -> dict[str, Stamp]:
        """The mask of a series, or its objects, and other files of the same ones, by name.

        Raises:
            DataError: there are several ("many-labels"); or the fault of a file.
        """
        if self.masks is None:
            files = self._about(series.uid)
            distinct = len({file.sop for file in files})
            if distinct > 1:
                what = "segmentations" if self.options.beside == SEGMENTATIONS else "files"
                raise DataError(
                    f"{distinct} {what} with labels refer to the series",
                    code="many-labels",
                    hint="leave one of them in the source",
                )
            for file in files:
                if file.fault is not None:
                    raise file.fault
            return {file.path: file.stamp for file in files}
        paths = {
            find_nifti(self.masks, (series.uid, folder, folder.rpartition("/")[2]))
            for folder in main_folders(series)
        }
        fit = [path for path in paths if path is not None]
        if len(fit) > 1:
            raise DataError("masks of two of its folders fit the series", code="many-labels")
        names = {path.relative_to(self.masks).as_posix(): path for path in fit}
        return {
            name: source.stamp(f"{self.options.masks}/{name}", path.stat())
            for name, path in names.items()
        }

    def segmentations(self, uid: str) -> dict[str, Stamp]:
        """Segmentations that the reports about a series refer to, one file of each."""
        if self.options.rois != "sr":
            return {}
        named = frozenset[str]().union(*(file.sources for file in self._about(uid)))
        files = {
            file.sop: file
            for file in reversed(self.found.get(uid, ()))
            if file.facts.sop_class in SEGMENTATIONS and file.sop in named and file.fault is None
        }
        return {file.path: file.stamp for file in sorted(files.values(), key=attrgetter("path"))}

    def unused(self, used: set[str]) -> Iterator[tuple[str, DataError, str]]:
        """Path, reason and transfer syntax of files about series that are not taken, and of copies.

        Args:
            used: UIDs of the series that are taken.
        """
        for uid, files in self.found.items():
            taken = set[str]()
            if uid in used:
                taken = {*(file.path for file in self._about(uid)[:1]), *self.segmentations(uid)}
            read = {file.sop for file in files if file.path in taken}
            for file in files:
                if file.path in taken:
                    continue
                what = "segmentation" if file.facts.sop_class in SEGMENTATIONS else "file"
                fault = file.fault or PassedOver(
                    f"a {what} of no series that is taken", code="rejected-modality"
                )
                yield file.path, copied() if file.sop in read else fault, file.facts.syntax

    def _about(self, uid: str) -> list[Instance]:
        """Files about a series, of those that `labels` names."""
        return [
            file for file in self.found.get(uid, ()) if file.facts.sop_class in self.options.beside
        ]


def main_folders(series: Series) -> list[str]:
    """The folders of most of its files: a stray one elsewhere must not decide."""
    held = Counter(file.folder for file in series.instances)
    most = max(held.values())
    return sorted(folder for folder, files in held.items() if files == most)


def copied() -> DataError:
    """Why a file is passed over that another one is the same as."""
    return PassedOver("a copy of another file", code="rejected-duplicate")
