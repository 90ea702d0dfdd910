"""Repair: what `verify` finds damaged is let go, so that the next run of its job makes it anew.

Nothing is made here, and nothing is deleted but plans that can't be read. A unit whose record or
shard is damaged gives way to a successor, as units do that are to be tried again
(`medray.steps.base.successors`): versions that name it stay as they are. What is written at every
end of a run (HEAD, manifests, tables of units and refusals, packages of models) the run writes anew
where it is damaged. Of the audit log nothing can be made anew; an entry says then which objects
were found altered, by whom and when, and that is accepted.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from medray.clock import SYSTEM, Clock
from medray.steps.base.successors import units_that_gave_way
from medray.steps.ingest.regroup import forget_damaged
from medray.storage.catalog import audit
from medray.storage.catalog.check import Problem, verify_all, verify_reference
from medray.storage.catalog.ledger import Ledger
from medray.storage.store.objects import Objects


@dataclass(frozen=True)
class Repair:
    """What was let go.

    Args:
        problems: that were found.
        units: that gave way, by dataset.
        names: datasets and models that a run is to make anew.
        accepted: entries of the audit log.
        plans: that can't be read, and were forgotten.
    """

    problems: list[Problem]
    units: dict[str, list[str]]
    names: list[str]
    accepted: int
    plans: int


def repair(objects: Objects, name: str = "", clock: Clock = SYSTEM) -> Repair:
    """Let what is damaged of the newest version of a dataset or model be made anew.

    Args:
        objects: the storage root.
        name: of the dataset or model; empty: all of them, and the audit log.
        clock: stamps the records.

    Raises:
        SpecError: there is no such dataset or model.
    """
    problems = (verify_reference(objects, name) if name else verify_all(objects))[1]
    units: dict[str, list[str]] = {}
    for problem in problems:
        room, of, *rest = problem.path.split("/")
        if room == "datasets" and rest[0] in ("commits", "shards", "successors"):
            unit = rest[1].removesuffix(".json").rpartition("-")[0 if rest[0] == "shards" else 2]
            if unit not in units.setdefault(of, []):
                units[of].append(unit)
    for of, found in units.items():
        gave_way, ledger = units_that_gave_way(objects, of), Ledger(objects, of, clock=clock)
        for unit in found:
            if unit not in gave_way:
                ledger.give_way(unit, "damaged")
        details = {"units": len(found)}
        audit.record(objects, what="repair", about=of, details=details, clock=clock)
    wrong = [problem.path for problem in problems if problem.path.startswith("audit/")]
    if wrong:
        audit.accept(objects, wrong, clock=clock)
    names = [name] if name else objects.folders("datasets")
    plans = sum(forget_damaged(objects, one) for one in names)
    return Repair(problems, units, names_of(problems), len(wrong), plans)


def names_of(problems: Sequence[Problem]) -> list[str]:
    """Datasets and models that something is wrong with."""
    parts = (problem.path.split("/") for problem in problems)
    return sorted({part[1] for part in parts if part[0] in ("datasets", "models")})


def jobs_of(objects: Objects, names: Sequence[str]) -> list[str]:
    """Jobs that made the newest versions of datasets and models, as the audit log knows them."""
    from medray.jobs.status import find_job

    runs: dict[str, str] = {}
    for entry in audit.entries(objects):
        name = str(entry.get("about", "")).partition("@")[0]
        run = (entry.get("details") or {}).get("run")
        if name in names and run:
            runs[name] = run
    known = [run for run in runs.values() if objects.exists(f"runs/{run}/job.json")]
    return sorted({find_job(objects, run) for run in known})


def way_out(objects: Objects, problems: Sequence[Problem], name: str, storage: str | None) -> str:
    """The commands that mend what is damaged, to be given as they are."""
    where = f" --storage {storage}" if storage else ""
    steps = [f"`medray repair{' ' if name else ''}{name}{where}`"]
    names = names_of(problems)
    if names:
        jobs = jobs_of(objects, names)
        steps += [f"`medray resume {job}{where}`" for job in jobs]
        steps += [] if jobs else ["run the job that makes it again"]
    return ", then ".join(steps)
