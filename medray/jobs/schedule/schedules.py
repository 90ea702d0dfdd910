"""Schedules in storage: added, paused, resumed, removed. Each is one object, moved by
compare-and-swap, so that a scheduler and a user at the keyboard do not undo each other.

<root>/schedules/<name>.json
"""

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

from pydantic import TypeAdapter

from medray.clock import SYSTEM, Clock
from medray.errors import DataError, SpecError
from medray.jobs.check import check_documents
from medray.spec.check import check
from medray.spec.load import Job, read_job
from medray.spec.schedules import Schedule
from medray.steps.base.view import refuse
from medray.storage.catalog.versions import check_name, is_name
from medray.storage.store.documents import damaged, decode
from medray.storage.store.objects import Objects
from medray.storage.store.probe import probe

ROOT = "schedules"
_SCHEDULE: TypeAdapter[Schedule] = TypeAdapter(Schedule)


def add(
    objects: Objects,
    name: str,
    job: Job,
    *,
    overrides: Sequence[str] = (),
    clock: Clock = SYSTEM,
    **fields: Any,
) -> Schedule:
    """Put a job on a schedule. Its documents are kept as they are now: to change them, remove the
    schedule and add it again.

    Args:
        objects: the storage root that the job works in.
        name: of the schedule.
        job: see `medray.spec.load.read_job`.
        overrides: see `medray.spec.override`.
        clock: due times before now are none.
        fields: of a Schedule: cron, tz, catch_up, overlap, window, cluster.

    Raises:
        SpecError: the job or the schedule is wrong ("bad-field" and those of `read_job`), or the
            name is taken ("schedule-exists").
    """
    source = read_job(job, overrides)
    _, problems = check_documents(source, objects, cluster=fields.get("cluster"), elsewhere=True)
    refuse(problems, source.name)
    given = {**fields, "file": source.name, "documents": source.documents}
    schedule = check(
        _SCHEDULE,
        {**given, "name": check_name(name), "after": clock.now()},
        lambda *parts: ".".join(["schedule", *map(str, parts)]),
    )
    probe(objects)
    if not objects.put_new(_path(name), schedule.model_dump_json().encode()):
        raise SpecError(
            "there is a schedule of this name",
            code="schedule-exists",
            about=name,
            hint="`medray schedule rm` removes it; --name gives another name",
        )
    return schedule


def read(objects: Objects, name: str) -> Schedule:
    """The schedule called `name`.

    Raises:
        SpecError: there is none (code "no-such-schedule").
        DataError: it is damaged (code "damaged-record").
    """
    return _tagged(objects, name)[0]


def names(objects: Objects) -> list[str]:
    """Of all schedules, sorted."""
    found = [entry.path.removeprefix(f"{ROOT}/") for entry in objects.walk(ROOT)]
    stems = [path.removesuffix(".json") for path in found if path.endswith(".json")]
    return sorted(filter(is_name, stems))


def change(objects: Objects, name: str, how: Callable[[Schedule], dict[str, Any]]) -> Schedule:
    """Change fields of a schedule, again if somebody else did so meanwhile.

    Args:
        objects: the storage root.
        name: of the schedule.
        how: from the schedule as it is to the fields that change; none: it stays.
    """
    while True:
        schedule, etag = _tagged(objects, name)
        fields = how(schedule)
        if not fields:
            return schedule
        changed = schedule.model_copy(update=fields)
        if objects.swap(_path(name), changed.model_dump_json().encode(), etag):
            return changed


def pause(objects: Objects, name: str) -> Schedule:
    """Let nothing begin until `resume`; what is under way goes on."""
    return change(objects, name, lambda _: {"paused": True})


def resume(objects: Objects, name: str, clock: Clock = SYSTEM) -> Schedule:
    """End a pause. What would have been due during it is not due."""
    now = clock.now()
    return change(
        objects,
        name,
        lambda was: {"paused": False, "after": max(was.after, now)} if was.paused else {},
    )


def remove(objects: Objects, name: str) -> None:
    """Remove a schedule and its history; a scheduler that runs it stops the run."""
    with contextlib.suppress(DataError):  # a damaged one can go too
        read(objects, name)
    objects.delete([_path(name)])
    objects.delete([entry.path for entry in objects.walk(f"{ROOT}/{name}")])


def _tagged(objects: Objects, name: str) -> tuple[Schedule, str]:
    try:
        data, etag = objects.get_tagged(_path(check_name(name)))
    except FileNotFoundError as error:
        known = ", ".join(names(objects)) or "none"
        raise SpecError(
            "there is no such schedule",
            code="no-such-schedule",
            about=name,
            hint=f"schedules here: {known}",
        ) from error
    hint = "`medray schedule rm` it and add it again"
    schedule = decode(data, _path(name), Schedule, hint)
    if schedule.name != name:
        raise damaged(_path(name), hint)
    return schedule, etag


def _path(name: str) -> str:
    return f"{ROOT}/{name}.json"
