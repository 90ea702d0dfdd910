"""Which files belong together: plain folders, the Medical Segmentation Decathlon, nnU-Net raw."""

import contextlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from medray.errors import SpecError
from medray.formats.base import Input, Source
from medray.formats.files import Found, item, nothing_found, stem, unique, walk
from medray.formats.nifti.volume import SUFFIXES
from medray.storage.records import Refusal

Layout = Literal["plain", "msd", "nnunet"]
Labels = Literal["required", "optional", "none"]

MAX_DOCUMENT = 16 * 2**20
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
) -> tuple[list[Input], list[Refusal]]:
    """Inputs by case: the image's file or files, then the label's file where there is one.

    Every NIfTI file below the source is in an input or refused, except test sets (imagesTs,
    labelsTs) that `images` does not name. A file in a folder of its own, such as one apart because
    it lacks its label, is a case like any other.

    Returns:
        Inputs with `extra` = {"case", "channels": number of image files, "label": has one,
        "values": the label values that dataset.json names, or None}; and what was refused.

    Raises:
        SpecError: there is no NIfTI file (code "nothing-found").
    """
    found, refused = walk(source, SUFFIXES)
    if not found:
        nothing_found(source, "NIfTI file", "files end in .nii or .nii.gz")
    document = _document(source)
    folders = _folders(found, layout, images, masks)
    of_labels = (folders.labels,) if folders.labels else ()
    by_label = {_below(file, of_labels): file for file in found if _in(file, folders.labels)}
    wanted = [file for file in found if _is_image(file, folders, source)]
    if labels is None:
        labels = "required" if by_label else "none"
    cases = _cases(wanted, folders, layout == "nnunet", refused)
    named = document.get("channel_names", document.get("modality"))
    channels = len(named) if isinstance(named, dict | list) else 0
    values = _values(document)
    made, used = [], set()
    for case, files in cases.items():
        label = by_label.get(case)
        used.add(label)
        if layout == "nnunet" and channels and len(files) != channels:
            reason = f"{len(files)} of {channels} channels are there"
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
                values=values,
            )
        )
    if labels != "none":
        for name, file in sorted(by_label.items()):
            if file not in used:
                refused.append(Refusal(name, "no-image", "the label has no image"))
    refused.extend(_missing(document, found))
    return unique(made, refused, lambda i: str(i.extra["case"]).replace("/", "_")), refused


def _folders(
    found: Iterable[Found], layout: Layout, images: tuple[str, ...], masks: str | None
) -> Folders:
    if layout == "plain":
        top = {file.path.split("/")[0] for file in found if "/" in file.path}
        guess = "labels" if "labels" in top else None
        return Folders(images, masks or guess)
    return Folders(images, masks or "labelsTr")


def _in(file: Found, folder: str | None) -> bool:
    return folder is not None and f"{file.folder}/".startswith(f"{folder}/")


def _is_image(file: Found, folders: Folders, source: Source) -> bool:
    if _in(file, folders.labels):
        return False
    if source.root.is_file() or not folders.images:
        return not any(_in(file, test) for test in _TEST)
    return any(folder in ("", ".") or _in(file, folder) for folder in folders.images)


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
            reason = "the name lacks its channel number, as in CASE_0000"
            refused.append(Refusal(file.path, "no-channel", reason))
        elif name in seen:
            refused.append(Refusal(file.path, "duplicate-id", "another file has the same name"))
        else:
            seen.add(name)
            cases.setdefault(match.group(1) if match else name, []).append(file)
    return cases


def _below(file: Found, folders: Iterable[str]) -> str:
    """The file's path without its suffix and without that of `folders` that it lies in."""
    path = stem(file.path, SUFFIXES)
    for folder in folders:
        if _in(file, folder):
            return path.removeprefix(f"{folder}/")
    return path


def _document(source: Source) -> dict[str, Any]:
    """dataset.json, where there is one."""
    path = source.root / "dataset.json"
    if not path.is_file():
        return {}
    document = None
    source.fetch("dataset.json", MAX_DOCUMENT)
    if path.stat().st_size <= MAX_DOCUMENT:
        with contextlib.suppress(ValueError):
            document = json.loads(path.read_bytes())
    if not isinstance(document, dict):
        raise SpecError("dataset.json is no JSON object", code="bad-dataset-json")
    return document


def _values(document: dict[str, Any]) -> list[int] | None:
    """Label values of dataset.json: {"0": name} in the Decathlon, {name: 0} or {name: [1, 2]} in
    nnU-Net."""
    named = document.get("labels")
    if not isinstance(named, dict) or not named:
        return None
    try:
        if all(str(key).isdigit() for key in named):
            return sorted(int(key) for key in named)
        values: set[int] = set()
        for value in named.values():
            values.update(int(v) for v in (value if isinstance(value, list) else [value]))
        return sorted(values | {0})
    except (TypeError, ValueError) as error:
        raise SpecError("dataset.json names no label values", code="bad-dataset-json") from error


def _missing(document: dict[str, Any], found: list[Found]) -> list[Refusal]:
    """Cases that the Decathlon's dataset.json lists and the folder lacks."""
    there = {file.path for file in found}
    listed = document.get("training")
    refused = []
    for entry in listed if isinstance(listed, list) else []:
        path = str(entry.get("image", "")) if isinstance(entry, dict) else ""
        if path.removeprefix("./") not in there:
            reason = "dataset.json lists the image, but it is not there"
            refused.append(Refusal(stem(path.rpartition("/")[2], SUFFIXES), "missing-file", reason))
    return refused
