"""What a format finds in a source, and what a plan keeps for the next one."""

import contextlib
from dataclasses import dataclass, replace
from typing import Any

from medray.errors import MedrayError, RetryableError
from medray.formats.base import Format, Found
from medray.formats.bucket import outlined
from medray.ids import short
from medray.steps.base.sources import check_named, source_of
from medray.steps.ingest.spec import IngestSpec
from medray.storage.store.objects import Objects


@dataclass(frozen=True)
class Kept:
    """What a plan keeps for the next one of the same step: one object, whoever wrote it last.

    It spares work and decides nothing, so a store that can't give or take it is no error.

    Args:
        objects: the storage root.
        path: of the object.
    """

    objects: Objects
    path: str

    def load(self) -> bytes | None:
        """See medray.formats.base.Memory."""
        try:
            return self.objects.get(self.path)
        except (FileNotFoundError, MedrayError):
            return None

    def keep(self, data: bytes) -> None:
        """See medray.formats.base.Memory."""
        with contextlib.suppress(RetryableError):
            self.objects.put(self.path, data)


def found_in(made: Format, step: IngestSpec, objects: Objects) -> Found:
    """What a format finds in the source of a step, a folder or a bucket."""
    check_named(made, step.source, objects)
    memory = Kept(objects, f"datasets/{step.output}/plans/{short(step.identity())}.known")
    about: dict[str, Any] = {"by_content": step.fingerprint == "content", "memory": memory}
    if "://" not in step.source:
        source = source_of(step.source)
        return made.plan(replace(source, follow_links=step.follow_links, **about))
    with outlined(objects.beside(step.source), **about) as outline:
        found = made.plan(outline)
        return replace(found, refused=[*found.refused, *outline.refused])
