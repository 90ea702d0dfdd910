"""What a segmentation is about: the series and SOP instances that it refers to."""

from medray.formats.dicom.headers import tags
from medray.formats.dicom.headers.elements import Elements


def sources_of(elements: Elements) -> tuple[tuple[str, ...], frozenset[str]]:
    """Series and SOP instances that a segmentation is about, wherever they may stand."""
    studies = [elements, *_items(elements, tags.OTHER_STUDIES_SEQUENCE)]
    series = [item for study in studies for item in _items(study, tags.REFERENCED_SERIES_SEQUENCE)]
    groups = [
        *_items(elements, tags.SHARED_FUNCTIONAL_GROUPS),
        *_items(elements, tags.PER_FRAME_FUNCTIONAL_GROUPS),
    ]
    derived = [item for group in groups for item in _items(group, tags.DERIVATION_IMAGE_SEQUENCE)]
    images = [item for one in series for item in _items(one, tags.REFERENCED_INSTANCE_SEQUENCE)]
    for one in (elements, *derived):
        images += _items(one, tags.SOURCE_IMAGE_SEQUENCE)
    return (
        tuple(dict.fromkeys(item.text(tags.SERIES_INSTANCE_UID) for item in series)),
        frozenset(item.text(tags.REFERENCED_SOP_INSTANCE_UID) for item in images),
    )


def _items(elements: Elements, sequence: int) -> list[Elements]:
    return elements.items.get(sequence, [])
