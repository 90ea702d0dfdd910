"""Cases with the boxes that a table has of them."""

from collections.abc import Iterator

from medray.formats.base import Input
from medray.formats.imaging.volume_boxes import Named, unmatched
from medray.storage.shards.records import Refusal


def boxed(
    cases: Iterator[Input], named: Named, refused: list[Refusal], *, required: bool
) -> Iterator[Input]:
    """Each case with its boxes, as `extra["boxes"]`.

    Args:
        cases: as they are planned.
        named: boxes by the path of an image of their case.
        refused: takes on cases that nothing names, where boxes are required, cases that are named
            by two of their channels, and boxes whose image is not there.
        required: see `refused`; else nobody has looked at them.
    """
    for case in cases:
        found = [named.pop(path) for path in case.paths if path in named]
        if len(found) > 1:
            reason = "boxes name two images of the case"
            refused.append(Refusal(case.key, "ambiguous-label", reason, files=len(case.paths)))
        elif found:
            yield case._replace(extra={**case.extra, "boxes": found[0]})
        elif required:
            reason = "nothing in the table of boxes names the image"
            refused.append(Refusal(case.key, "no-label", reason, files=len(case.paths)))
        else:
            yield case
    refused += unmatched(named, "the path of an image below the source, its folder included")
