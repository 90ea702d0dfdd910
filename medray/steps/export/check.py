"""The check of an export: a format that writes, what it needs, and where it writes to."""

import os
from dataclasses import replace
from pathlib import Path

from medray.errors import SpecError
from medray.formats.joined import Joined
from medray.steps.base.facts import Data
from medray.steps.base.sources import look_at_source
from medray.steps.base.view import View
from medray.steps.export.spec import ExportSpec
from medray.storage.shards.holds import Holds, names


def check(view: View, spec: ExportSpec) -> None:
    """The format can write such samples, and the target can be written to."""
    made, data = view.format(spec.format), view.data("data", spec.data)
    holds = data.holds
    if spec.images is not None:
        holds = _beside(holds, view.data("images", spec.images))
    elif data.data:  # where the predictions say that they come from; it need not be there
        holds = _beside(holds, Data())
    with view.at("select"):
        data.holds.check_where(spec.select)
    if made is not None and not made.writes():
        message = f"format {made.name!r} cannot be written"
        view.add("format.name", "read-only-format", message, "take another to export by")
    elif made is not None:
        with view.at("data"):
            made.needs().check(holds)
        if not view.elsewhere:
            with view.at("format"):
                made.ready_to_write()
        raw = made.raw if isinstance(made, Joined) else ""
        if raw and not view.elsewhere:
            with view.at("format.source"):
                look_at_source(view, raw)
    if not view.elsewhere:
        with view.at("to"):
            _look_at_target(view, spec.to)
    view.makes("output", spec.output_name, Data(spec.kind, Holds(names())))


def _beside(holds: Holds, images: Data) -> Holds:
    """What an export has at hand of samples and their images."""
    there = images.holds.arrays
    if holds.arrays is None or (there is not None and "image" not in there):
        return holds
    return replace(holds, arrays=holds.arrays | {"image"})


def _look_at_target(view: View, to: str) -> None:
    if "://" in to:
        view.objects.beside(to)
        return
    view.targets.append(to)
    place = Path(to)
    there = next((one for one in (place, *place.parents) if os.path.lexists(one)), place)
    if not (there.is_dir() and os.access(there, os.W_OK | os.X_OK)):
        raise SpecError(
            "it cannot be used as a target: "
            + ("a file is in the way" if not there.is_dir() else "this user may not write there"),
            code="bad-target",
            hint="give a folder that can be made and written to",
        )
