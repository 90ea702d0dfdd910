"""Which files belong together: plain folders, the Medical Segmentation Decathlon, nnU-Net raw."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import repeat
from typing import Literal

import numpy as np

from medray.formats.base import Input, Source
from medray.formats.files import (
    ELSEWHERE,
    File,
    Files,
    is_empty,
    item,
    nothing_found,
    stem,
    walk,
)
from medray.formats.imaging.values import OTHER_IMAGES
from medray.formats.naming import unique
from medray.formats.nifti.document import DOCUMENT, Document, read_document
from medray.formats.nifti.volume import SUFFIXES
from medray.ids import Distinct
from medray.storage.shards.records import Refusal

Layout = Literal["plain", "msd", "nnunet"]
Labels = Literal["required", "optional", "none"]

Case = tuple[str, list[File]]

_CHANNEL = re.compile(r"^(.+)_(\d{4})$")
# Folders of a challenge's test set: unlabelled on purpose, read only where `images` names them.
_TEST = ("imagesTs", "labelsTs")
_IMAGES = ("imagesTr", "images", "image")


@dataclass(frozen=True)
class Folders:
    """Where a layout keeps things, below the source; "" is the source itself.

    Args:
        images: folders of images; empty: every folder that is not one of labels.
        labels: folder of labels, None where there is none.
    """

    images: tuple[str, ...]
    labels: str | None


def plan_cases(
    source: Source,
    layout: Layout,
    images: tuple[str, ...],
    masks: str | None,
    labels: Labels | None,
    own: tuple[str, ...] = (),
) -> tuple[Iterator[Input], list[Refusal], Document]:
    """Inputs by case: the image's file or files, then the label's file where there is one.

    Every NIfTI file below the source is in an input or refused; test sets (imagesTs, labelsTs) that
    `images` does not name are passed over, as are images in other formats. A file in a folder of
    its own, such as one apart because it lacks its label, is a case like any other.

    Returns:
        Inputs with `extra` = {"channels": number of image files, "label": has one, "values": the
        label values that dataset.json names, or None, "ignore": the one of them that takes no part,
        or None}; what was refused, which is whole when the inputs are exhausted; and
        dataset.json.

    Raises:
        SpecError: there is no NIfTI file (code "nothing-found").
    """
    found, refused = walk(source, SUFFIXES, beside=OTHER_IMAGES, own=(DOCUMENT, *own))
    if is_empty(found, refused):
        nothing_found(source, "NIfTI file", "files end in .nii or .nii.gz")
    document = read_document(source)
    if layout == "nnunet":
        found = _of_ending(found, document.ending, refused)
    if layout == "nnunet" and document.cases is not None:
        listed, by_label = _listed(document.cases, found, refused)
        cases: Iterable[Case] = listed.items()
    else:
        folders = _folders(found, layout, images, masks)
        by_label = _labels(found, folders, refused)
        wanted = _images(found, folders, source)
        label = found.below([folders.labels] if folders.labels and labels != "none" else [])
        refused += [Refusal.of(file.path, ELSEWHERE) for file in found.where(~(wanted | label))]
        found_images = found.where(wanted)
        refused.extend(document.missing(found))
        if layout != "nnunet" and not by_label and labels != "required":
            alone = _alone(found_images, folders, document)
            return unique(alone, refused, lambda one: one.paths[0]), refused, document
        cases = _cases(found_images, folders, layout == "nnunet", refused)
    if labels is None:
        labels = "required" if any(by_label.values()) else "none"
    channels = document.channels if layout == "nnunet" else 0
    inputs = _inputs(cases, by_label, labels, channels, document, refused)
    return document.paired(inputs, refused), refused, document


def _alone(files: Files, folders: Folders, document: Document) -> Iterator[Input]:
    """An input of each image, where none has a label."""
    extra = {"channels": 1, "label": False, "values": document.values, "ignore": document.ignore}
    known = folders.images or _IMAGES
    for block in files.blocks():
        names = [_below(name, known) for name in block.stems(SUFFIXES)]
        yield from block.inputs(names, repeat(extra, len(block)))


def _inputs(
    cases: Iterable[Case],
    by_label: dict[str, File | None],
    labels: Labels,
    channels: int,
    document: Document,
    refused: list[Refusal],
) -> Iterator[Input]:
    """An input for each case that has all it needs, `channels` files where that is not 0."""
    values, ignore = document.values, document.ignore
    seen = Distinct()
    for case, files in cases:
        if labels != "none" and case in by_label and by_label[case] is None:
            reason = "two labels have the name of the case"
            refused.append(Refusal(case, "ambiguous-label", reason, files=len(files)))
            continue
        label = by_label.pop(case, None)
        if not seen.add(case.replace("/", "_")):
            reason = "another file of the source gives the same sample id"
            count = len(files) + bool(label)
            refused.append(Refusal(files[0].path, "duplicate-id", reason, files=count))
            continue
        if channels and len(files) != channels:
            reason = f"{len(files)} of {channels} channels are there"
            refused.append(Refusal(case, "missing-channel", reason, files=len(files)))
            continue
        if label is None and labels == "required":
            reason = "the image has no label"
            refused.append(Refusal(case, "no-label", reason, files=len(files)))
            continue
        taken = label if labels != "none" else None
        yield item(
            case,
            [*files, taken] if taken else files,
            channels=len(files),
            label=taken is not None,
            values=values,
            ignore=ignore,
        )
    if labels != "none":
        for name, file in sorted(by_label.items()):
            if file is not None:
                refused.append(Refusal(name, "no-image", "the label has no image"))


def _of_ending(found: Files, ending: str, refused: list[Refusal]) -> Files:
    """Files that end as dataset.json says; the others are no part of the dataset."""
    if ending not in SUFFIXES:
        return found
    reason = f"dataset.json says that files end in {ending}"
    fits = np.array([file.name.lower().endswith(ending) for file in found], bool)
    refused += [
        Refusal(file.path, "other-ending", reason, kind="passed-over")
        for file in found.where(~fits)
    ]
    return found.where(fits)


def _labels(found: Files, folders: Folders, refused: list[Refusal]) -> dict[str, File | None]:
    """Labels by case; None where two files have the name, of which either may be meant."""
    of_labels = (folders.labels,) if folders.labels else ()
    named: dict[str, list[File]] = {}
    for file in found.where(found.below(of_labels)):
        named.setdefault(_below(stem(file.path, SUFFIXES), of_labels), []).append(file)
    for files in named.values():
        if len(files) > 1:
            reason = "two labels have the name of one case"
            refused += [Refusal(file.path, "ambiguous-label", reason) for file in files]
    return {name: files[0] if len(files) == 1 else None for name, files in named.items()}


def _listed(
    cases: dict[str, tuple[list[str], str | None]], found: Files, refused: list[Refusal]
) -> tuple[dict[str, list[File]], dict[str, File | None]]:
    """Cases of the key `dataset`, whose paths count from dataset.json's own folder."""
    by_path = {file.path: file for file in found}
    uses = Counter(path for images, label in cases.values() for path in {*images, label or ""})
    images_of: dict[str, list[File]] = {}
    label_of: dict[str, File | None] = {}  # of cases that have one
    for case, (images, label) in cases.items():
        paths = [path.removeprefix("./") for path in [*images, *([label] if label else [])]]
        if not images:
            refused.append(Refusal(case, "bad-entry", "dataset.json names no images of the case"))
        elif not all(path in by_path for path in paths):
            reason = "dataset.json names a file that is not below its folder"
            refused.append(Refusal(case, "missing-file", reason, files=len(paths)))
        elif any(uses[path] > 1 for path in (*images, label) if path):
            reason = "dataset.json names a file of the case for another one too"
            refused.append(Refusal(case, "ambiguous-file", reason, files=len(paths)))
        else:
            images_of[case] = [by_path[path] for path in paths[: len(images)]]
            if label:
                label_of[case] = by_path[paths[-1]]
    named = {path.removeprefix("./") for path in uses}
    reason = "`dataset` of dataset.json does not name it"
    refused += [
        Refusal(path, "not-in-dataset", reason, kind="passed-over")
        for path in by_path
        if path not in named and not path.startswith(_TEST)
    ]
    return images_of, label_of


def _folders(found: Files, layout: Layout, images: tuple[str, ...], masks: str | None) -> Folders:
    if layout == "plain":
        guess = "labels" if found.below(["labels"]).any() else None
        return Folders(images, masks or guess)
    return Folders(images, masks or "labelsTr")


def _images(found: Files, folders: Folders, source: Source) -> np.ndarray:
    """Which files are images, as far as their folders tell."""
    others: np.ndarray = ~found.below([folders.labels] if folders.labels else [])
    if source.root.is_file() or not folders.images:
        others &= ~found.below(_TEST)
    elif {"", "."}.isdisjoint(folders.images):
        others &= found.below(folders.images)
    return others


def _cases(
    files: Files, folders: Folders, channelled: bool, refused: list[Refusal]
) -> Iterable[Case]:
    """Files by case: the path below the folder of images, without suffix and channel number."""
    known = folders.images or _IMAGES
    named = ((_below(stem(file.path, SUFFIXES), known), file) for file in files)
    return _channelled(named, refused) if channelled else ((name, [file]) for name, file in named)


def _channelled(named: Iterable[tuple[str, File]], refused: list[Refusal]) -> Iterator[Case]:
    """Files by case, each with the names that they have with their channel's number."""
    seen = set()
    cases: dict[str, list[File]] = {}
    for name, file in named:
        match = _CHANNEL.match(name)
        if match is None:
            reason = (
                "the name lacks its channel number, as in CASE_0000; files with channels on a "
                "fourth axis are read by `layout: msd` with `fourth_axis: channels`"
            )
            refused.append(Refusal(file.path, "no-channel", reason))
        elif name in seen:
            refused.append(Refusal(file.path, "duplicate-id", "another file has the same name"))
        else:
            seen.add(name)
            cases.setdefault(match.group(1), []).append(file)
    for case, channels in cases.items():
        if _counted(channels):
            yield case, channels
        else:
            reason = "the channels' numbers are not 0000, 0001, …"
            refused.append(Refusal(case, "missing-channel", reason, files=len(channels)))


def _counted(files: list[File]) -> bool:
    """Whether the channels are 0, 1, …; files are sorted by path, so folders may mix them."""
    files.sort(key=lambda file: stem(file.name, SUFFIXES)[-4:])
    return all(stem(f.name, SUFFIXES)[-4:] == f"{n:04d}" for n, f in enumerate(files))


def _below(name: str, folders: Iterable[str]) -> str:
    """A path without that of `folders` that it lies in."""
    if "/" in name:
        for folder in folders:
            if name.startswith(f"{folder}/"):
                return name.removeprefix(f"{folder}/")
    return name
