"""What a file beside images is about: the series and SOP instances that it refers to."""

from medray.formats.dicom.headers import tags
from medray.formats.dicom.headers.elements import Elements

STUDIES = (
    tags.OTHER_STUDIES_SEQUENCE,
    tags.CURRENT_EVIDENCE_SEQUENCE,
    tags.OTHER_EVIDENCE_SEQUENCE,
)
IMAGES = (
    tags.REFERENCED_INSTANCE_SEQUENCE,
    tags.REFERENCED_SOP_SEQUENCE,
    tags.CONTOUR_IMAGE_SEQUENCE,
)


def sources_of(elements: Elements) -> tuple[tuple[str, ...], frozenset[str]]:
    """Series and SOP instances that a segmentation, a report (SR) or a structure set (RTSTRUCT) is
    about, wherever they may stand."""
    studies = [elements, *(item for one in STUDIES for item in _items(elements, one))]
    series = [item for study in studies for item in _items(study, tags.REFERENCED_SERIES_SEQUENCE)]
    for frame in _items(elements, tags.REFERENCED_FRAME_OF_REFERENCE_SEQUENCE):
        for study in _items(frame, tags.RT_REFERENCED_STUDY_SEQUENCE):
            series += _items(study, tags.RT_REFERENCED_SERIES_SEQUENCE)
    groups = [
        *_items(elements, tags.SHARED_FUNCTIONAL_GROUPS),
        *_items(elements, tags.PER_FRAME_FUNCTIONAL_GROUPS),
    ]
    derived = [item for group in groups for item in _items(group, tags.DERIVATION_IMAGE_SEQUENCE)]
    images = [item for one in series for kind in IMAGES for item in _items(one, kind)]
    for one in (elements, *derived):
        images += _items(one, tags.SOURCE_IMAGE_SEQUENCE)
    return (
        tuple(dict.fromkeys(item.text(tags.SERIES_INSTANCE_UID) for item in series)),
        frozenset(item.text(tags.REFERENCED_SOP_INSTANCE_UID) for item in images),
    )


def _items(elements: Elements, sequence: int) -> list[Elements]:
    return elements.items.get(sequence, [])
