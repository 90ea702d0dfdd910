"""Which files belong together: plain folders, the Medical Segmentation Decathlon, nnU-Net raw."""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from medray.formats.base import Input, Source
from medray.formats.files import ELSEWHERE, Found, is_empty, item, nothing_found, stem, unique, walk
from medray.formats.imaging import OTHER_IMAGES
from medray.formats.nifti.document import DOCUMENT, Document, read_document
from medray.formats.nifti.volume import SUFFIXES
from medray.storage.records import Refusal

Layout = Literal["plain", "msd", "nnunet"]
Labels = Literal["required", "optional", "none"]

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
) -> tuple[list[Input], list[Refusal], Document]:
    """Inputs by case: the image's file or files, then the label's file where there is one.

    Every NIfTI file below the source is in an input or refused; test sets (imagesTs, labelsTs) that
    `images` does not name are passed over, as are images in other formats. A file in a folder of
    its own, such as one apart because it lacks its label, is a case like any other.

    Returns:
        Inputs with `extra` = {"case", "channels": number of image files, "label": has one,
        "values": the label values that dataset.json names, or None, "ignore": the one of them that
        takes no part, or None}; what was refused; and dataset.json.

    Raises:
        SpecError: there is no NIfTI file (code "nothing-found").
    """
    found, refused = walk(source, SUFFIXES, beside=OTHER_IMAGES, own=(DOCUMENT,))
    if is_empty(found, refused):
        nothing_found(source, "NIfTI file", "files end in .nii or .nii.gz")
    document = read_document(source)
    if layout == "nnunet":
        found = _of_ending(found, document.ending, refused)
    if layout == "nnunet" and document.cases is not None:
        cases, by_label = _listed(document.cases, found, refused)
    else:
        folders = _folders(found, layout, images, masks)
        by_label = _labels(found, folders, refused)
        wanted = _images(found, folders, source)
        known = {file.path for file in wanted}
        refused += [
            Refusal.of(file.path, ELSEWHERE)
            for file in found
            if file.path not in known and (labels == "none" or not _in(file, folders.labels))
        ]
        cases = _cases(wanted, folders, layout == "nnunet", refused)
        refused.extend(document.missing(found))
    if labels is None:
        labels = "required" if any(by_label.values()) else "none"
    made = []
    for case, files in cases.items():
        if labels != "none" and case in by_label and by_label[case] is None:
            reason = "two labels have the name of the case"
            refused.append(Refusal(case, "ambiguous-label", reason, files=len(files)))
            continue
        label = by_label.pop(case, None)
        if layout == "nnunet" and document.channels and len(files) != document.channels:
            reason = f"{len(files)} of {document.channels} channels are there"
            refused.append(Refusal(case, "missing-channel", reason, files=len(files)))
            continue
        if label is None and labels == "required":
            reason = "the image has no label"
            refused.append(Refusal(case, "no-label", reason, files=len(files)))
            continue
        taken = label if labels != "none" else None
        made.append(
            item(
                case,
                [*files, taken] if taken else files,
                case=case,
                channels=len(files),
                label=taken is not None,
                values=document.values,
                ignore=document.ignore,
            )
        )
    if labels != "none":
        for name, file in sorted(by_label.items()):
            if file is not None:
                refused.append(Refusal(name, "no-image", "the label has no image"))
    kept = unique(made, refused, lambda i: str(i.extra["case"]).replace("/", "_"))
    return kept, refused, document


def _of_ending(found: list[Found], ending: str, refused: list[Refusal]) -> list[Found]:
    """Files that end as dataset.json says; the others are no part of the dataset."""
    if ending not in SUFFIXES:
        return found
    reason = f"dataset.json says that files end in {ending}"
    others = [file for file in found if not file.name.lower().endswith(ending)]
    refused += [Refusal(file.path, "other-ending", reason, kind="passed-over") for file in others]
    return [file for file in found if file.name.lower().endswith(ending)]


def _labels(
    found: Iterable[Found], folders: Folders, refused: list[Refusal]
) -> dict[str, Found | None]:
    """Labels by case; None where two files have the name, of which either may be meant."""
    of_labels = (folders.labels,) if folders.labels else ()
    named: dict[str, list[Found]] = {}
    for file in found:
        if _in(file, folders.labels):
            named.setdefault(_below(file, of_labels), []).append(file)
    for files in named.values():
        if len(files) > 1:
            reason = "two labels have the name of one case"
            refused += [Refusal(file.path, "ambiguous-label", reason) for file in files]
    return {name: files[0] if len(files) == 1 else None for name, files in named.items()}


def _listed(
    cases: dict[str, tuple[list[str], str | None]], found: list[Found], refused: list[Refusal]
) -> tuple[dict[str, list[Found]], dict[str, Found | None]]:
    """Cases of the key `dataset`, whose paths count from dataset.json's own folder."""
    by_path = {file.path: file for file in found}
    uses = Counter(path for images, label in cases.values() for path in {*images, label or ""})
    images_of: dict[str, list[Found]] = {}
    label_of: dict[str, Found | None] = {}  # of cases that have one
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


def _folders(
    found: Iterable[Found], layout: Layout, images: tuple[str, ...], masks: str | None
) -> Folders:
    if layout == "plain":
        top = {file.path.split("/")[0] for file in found if "/" in file.path}
        guess = "labels" if "labels" in top else None
        return Folders(images, masks or guess)
    return Folders(images, masks or "labelsTr")


def _in(file: Found, folder: str | None) -> bool:
    return folder is not None and file.path.startswith(f"{folder}/")


def _images(found: list[Found], folders: Folders, source: Source) -> list[Found]:
    """The files that are images, as far as their folders tell."""
    others = [file for file in found if not _in(file, folders.labels)]
    if source.root.is_file() or not folders.images:
        tests = tuple(f"{test}/" for test in _TEST)
        return [file for file in others if not file.path.startswith(tests)]
    if {"", "."} & {*folders.images}:
        return others
    wanted = tuple(f"{folder}/" for folder in folders.images)
    return [file for file in others if file.path.startswith(wanted)]


def _cases(
    files: list[Found], folders: Folders, channelled: bool, refused: list[Refusal]
) -> dict[str, list[Found]]:
    """Files by case: the path below the folder of images, without suffix and channel number."""
    cases: dict[str, list[Found]] = {}
    known = folders.images or _IMAGES
    seen = set()
    for file in files:
        name = _below(file, known)
        match = _CHANNEL.match(name) if channelled else None
        if channelled and match is None:
            reason = (
                "the name lacks its channel number, as in CASE_0000; files with channels on a "
                "fourth axis are read by `layout: msd` with `fourth_axis: channels`"
            )
            refused.append(Refusal(file.path, "no-channel", reason))
        elif name in seen:
            refused.append(Refusal(file.path, "duplicate-id", "another file has the same name"))
        else:
            seen.add(name)
            cases.setdefault(match.group(1) if match else name, []).append(file)
    if channelled:
        for case in [case for case in cases if not _counted(cases[case])]:
            reason = "the channels' numbers are not 0000, 0001, …"
            refused.append(Refusal(case, "missing-channel", reason, files=len(cases.pop(case))))
    return cases


def _counted(files: list[Found]) -> bool:
    """Whether the channels are 0, 1, …; files are sorted by path, so folders may mix them."""
    files.sort(key=lambda file: stem(file.name, SUFFIXES)[-4:])
    return all(stem(f.name, SUFFIXES)[-4:] == f"{n:04d}" for n, f in enumerate(files))


def _below(file: Found, folders: Iterable[str]) -> str:
    """The file's path without its suffix and without that of `folders` that it lies in."""
    path = stem(file.path, SUFFIXES)
    if "/" in path:
        for folder in folders:
            if _in(file, folder):
                return path.removeprefix(f"{folder}/")
    return path
