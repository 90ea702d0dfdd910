"""dataset.json, as the Decathlon and both versions of nnU-Net write it."""

import contextlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from medray.errors import DataError, SpecError
from medray.formats.base import Input, Source
from medray.formats.files import File, stem
from medray.formats.nifti.volume import SUFFIXES
from medray.formats.tabular.json_text import value_of
from medray.storage.shards.records import Refusal

DOCUMENT = "dataset.json"
MAX_DOCUMENT = 16 * 2**20
_CHANNEL = re.compile(r"_\d{4}$")
IGNORE = "ignore"  # nnU-Net's name of the label whose voxels nobody judged


@dataclass(frozen=True)
class Document:
    """What dataset.json says; empty where there is none.

    Args:
        channels: how many files a case has; 0: it does not say.
        labels: name → value, or values of a region.
        ending: of all files; "": it does not say.
        training: paths of images that it lists.
        pairs: the label that it lists beside an image, by the image; both without folder and
            ending.
        cases: of the key `dataset`: case → (paths of images, path of the label or None); None
            where there is no such key. Entries that make no sense have no images.
    """

    channels: int
    labels: dict[str, int | list[int]]
    ending: str
    training: list[str]
    pairs: dict[str, str]
    cases: dict[str, tuple[list[str], str | None]] | None

    @property
    def values(self) -> list[int] | None:
        """Values that labels may hold, None for any."""
        if not self.labels:
            return None
        found = {0}
        for value in self.labels.values():
            found.update(value if isinstance(value, list) else [value])
        return sorted(found)

    @property
    def ignore(self) -> int | None:
        """Value of the voxels that take no part in training and scores.

        Raises:
            SpecError: it is not the highest (code "bad-dataset-json"), as nnU-Net has it.
        """
        value = self.labels.get(IGNORE)
        if value is None:
            return None
        if isinstance(value, list) or value != max(self.values or [0]):
            raise SpecError(
                "the label `ignore` is not the highest of dataset.json", code="bad-dataset-json"
            )
        return value

    def paired(self, items: Iterable[Input], refused: list[Refusal]) -> Iterator[Input]:
        """Cases whose label is the one that is listed; the others are refused ("other-label")."""
        for item in items:
            if not item.extra["label"]:
                yield item
                continue
            names = [_case(path) for path in (item.paths[0], item.paths[-1])]
            listed = self.pairs.get(names[0], self.pairs.get(_CHANNEL.sub("", names[0])))
            if listed in (None, names[1]):
                yield item
                continue
            reason = "dataset.json lists another label beside the image than that of its name"
            hint = "give image and label one name, or correct dataset.json"
            files = len(item.paths)
            refused.append(Refusal(item.key, "other-label", reason, files=files, hint=hint))

    def missing(self, found: Iterable[File]) -> list[Refusal]:
        """Cases that are listed and not there. `X.nii.gz` stands for `X_0000.nii.gz` too, as in
        version 1 of nnU-Net."""
        if not self.training:
            return []
        there = set()
        for file in found:
            there.add(file.path)
            name = stem(file.path, SUFFIXES)
            if name[-5:-4] == "_" and name[-4:].isdigit():
                there.add(name[:-5] + file.path[len(name) :])
        refused = []
        for path in self.training:
            if path.removeprefix("./") not in there:
                reason = "dataset.json lists the image, but it is not there"
                name = stem(path.rpartition("/")[2], SUFFIXES)
                refused.append(Refusal(name, "missing-file", reason))
        return refused


def read_document(source: Source) -> Document:
    """dataset.json of a source.

    Raises:
        SpecError: it is none (code "bad-dataset-json").
    """
    document = _json(source)
    named = document.get("channel_names", document.get("modality"))
    listed = document.get("training")
    return Document(
        channels=len(named) if isinstance(named, dict | list) else 0,
        labels=_labels(document.get("labels")),
        ending=str(document.get("file_ending", "")).lower(),
        training=[
            str(entry.get("image")) if isinstance(entry, dict) else f"training/{number}"
            for number, entry in enumerate(listed if isinstance(listed, list) else [])
        ],
        pairs={
            _case(entry["image"]): _case(entry["label"])
            for entry in (listed if isinstance(listed, list) else [])
            if isinstance(entry, dict)
            and isinstance(entry.get("image"), str)
            and isinstance(entry.get("label"), str)
        },
        cases=_listed(document["dataset"]) if "dataset" in document else None,
    )


def _case(path: str) -> str:
    return stem(path.rpartition("/")[2], SUFFIXES)


def _json(source: Source) -> dict[str, Any]:
    path = source.root / DOCUMENT
    if not path.is_file():
        return {}
    document = None
    source.fetch(DOCUMENT, MAX_DOCUMENT)
    if path.stat().st_size <= MAX_DOCUMENT:
        with contextlib.suppress(ValueError, RecursionError, DataError):
            document = value_of(path.read_bytes())
    if not isinstance(document, dict):
        raise SpecError("dataset.json is no JSON object", code="bad-dataset-json")
    return document


def _labels(named: Any) -> dict[str, int | list[int]]:
    """{"0": name} in the Decathlon, {name: 0} or {name: [1, 2]} in nnU-Net."""
    if not isinstance(named, dict):
        return {}
    try:
        if all(str(key).isdigit() for key in named):
            by_name: dict[str, list[int]] = {}
            for value, name in named.items():
                by_name.setdefault(str(name), []).append(int(value))
            return {name: v[0] if len(v) == 1 else v for name, v in by_name.items()}
        return {
            str(name): [int(v) for v in value] if isinstance(value, list) else int(value)
            for name, value in named.items()
        }
    except (TypeError, ValueError) as error:
        raise SpecError("dataset.json names no label values", code="bad-dataset-json") from error


def _listed(named: Any) -> dict[str, tuple[list[str], str | None]]:
    if not isinstance(named, dict):
        raise SpecError("`dataset` of dataset.json names no cases", code="bad-dataset-json")
    cases: dict[str, tuple[list[str], str | None]] = {}
    for case, entry in named.items():
        images = entry.get("images") if isinstance(entry, dict) else None
        label = entry.get("label") if isinstance(entry, dict) else None
        sound = isinstance(images, list) and all(isinstance(path, str) for path in images)
        sound = sound and (label is None or isinstance(label, str))
        cases[case] = (images, label) if sound and images else ([], None)
    return cases
