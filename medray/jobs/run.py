"""Run a job: its steps in order, each resolved against what the one before has made."""

import contextlib
import json
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from typing import Any

from medray.errors import DataError, InterruptedRun
from medray.jobs.check import DEFAULT_CLUSTER, check_documents
from medray.jobs.driver import Driver, keep_job, spent_s, timed
from medray.jobs.execute import Executor
from medray.jobs.kept import stored_result
from medray.jobs.publish import run_units
from medray.jobs.ranks import Ranks
from medray.jobs.storage_by_name import open_storage
from medray.jobs.tracking import tracked
from medray.spec.documents import place
from medray.spec.load import Job, Source, cluster_profile, dump, read_job
from medray.steps.base.events import Event, Listener, Run, StepResult
from medray.steps.base.resolve import kind_of, resolve
from medray.steps.base.resolved import Resolved
from medray.steps.base.view import refuse
from medray.storage.catalog.audit import record
from medray.storage.catalog.versions import versions_of
from medray.storage.store.objects import Objects
from medray.storage.store.probe import probe


def run(
    job: Job,
    *,
    storage: str | Objects | None = None,
    cluster: str | None = None,
    overrides: Sequence[str] = (),
    on_event: Listener | None = None,
    stop: threading.Event | None = None,
) -> Run:
    """Run a job to its end. What is committed already is skipped, so this also resumes.

    Args:
        job: path or name of a job file, one step, or several.
        storage: see `medray.jobs.storage_by_name.open_storage`.
        cluster: profile to run on; None: the step's own, else `local`.
        overrides: "path=value" each, see `medray.spec.override`.
        on_event: told what happens, on this thread.
        stop: once set, what is under way is finished or given up, and InterruptedRun raised.

    Raises:
        SpecError: the job is wrong, or an input does not exist. Nothing was done by that step.
        DataError: more inputs were refused than the error budget allows.
        InterruptedRun: stopped; run it again, or resume it, to go on.
        RetryableError: storage or cluster could not be reached.
        FatalError: a unit failed in a way that trying again does not mend.
    """
    source = read_job(job, overrides)
    return run_documents(
        source,
        open_storage(storage),
        cluster=cluster,
        on_event=on_event,
        stop=stop or threading.Event(),
    )


def run_documents(
    source: Source,
    objects: Objects,
    *,
    cluster: str | None,
    on_event: Listener | None,
    stop: threading.Event,
    job: str = "",
    submission: int = 0,
) -> Run:
    """Run a job's documents; see `run`.

    Args:
        source: of the job.
        objects: the storage root.
        cluster: see `run`.
        on_event: see `run`.
        stop: see `run`.
        job: id of the run that goes on; empty: what the documents say.
        submission: number of the one that asked for it.
    """
    # Every document is checked before any of them costs time.
    steps, problems = check_documents(source, objects, cluster=cluster, elsewhere=False)
    refuse(problems, source.name)
    profiles = [
        cluster_profile(cluster or str(document.get("cluster") or DEFAULT_CLUSTER))
        for document in map(source.filled, range(len(source.documents)))
    ]
    probe(objects)
    if not submission:
        job = keep_job(objects, source, cluster, job)
    results: list[StepResult] = []
    with Driver(objects, job, stop, submission) as driver, ExitStack() as stack:

        def tell(event: Event) -> None:
            driver.event(event.name, **event.fields)
            if on_event is not None:
                on_event(event)

        tell(Event("job", {"job": job, "file": source.name, "steps": len(steps)}))
        executor: Executor | None = None
        for index, (step, profile) in enumerate(zip(steps, profiles, strict=True)):
            if stop.is_set():
                raise InterruptedRun(
                    f"stopped before step {index + 1} of {len(steps)}",
                    code="stopped",
                    about=job,
                    hint="`medray resume` goes on from here",
                )
            fields = {"step": index + 1, "kind": step.kind, "output": step.output_name}
            tell(Event("begin", fields))
            resolved = resolve(
                step, objects, lambda *parts, at=index: place(source.name, at + 1, *parts)
            )
            driver.step(
                resolved.run, dump(resolved.step, source.documents[index]), resolved.planned
            )
            kind_of(resolved.step).begun(resolved, objects)
            if executor is None or executor.profile != profile:
                stack.close()  # one Ray at a time
                executor = stack.enter_context(Executor(profile, objects, driver.session))
            with tracked(resolved, tell) as heard:
                before = _versions(objects, resolved)
                with timed(objects, resolved.run):
                    result = _run_step(resolved, executor, objects, stop, heard)
                results.append(result)
                others = _versions(objects, resolved) - before - {result.output}
                if others:
                    contended = {"output": result.output, "others": sorted(others)}
                    heard(Event("contended", contended))
                _keep(objects, result)
                heard(Event("done", result.as_json()))
    return Run(job, results)


def _run_step(
    resolved: Resolved[Any],
    executor: Executor,
    objects: Objects,
    stop: threading.Event,
    tell: Listener,
) -> StepResult:
    if resolved.planned is not None:
        return run_units(resolved, resolved.planned, executor, objects, stop, tell)
    known = None
    with contextlib.suppress(DataError):  # a damaged one: do it again, from where it can go on
        known = stored_result(objects, resolved.run)
    ranks = Ranks(resolved.step.kind, executor, objects, stop, tell, known)
    return kind_of(resolved.step).run(resolved, ranks)


def _versions(objects: Objects, resolved: Resolved[Any]) -> set[str]:
    """All versions of what a step makes, as name@version."""
    found = versions_of(objects, f"{kind_of(resolved.step).makes}/{resolved.output}/versions")
    return {f"{resolved.output}@{version}" for version in found}


def _keep(objects: Objects, result: StepResult) -> None:
    """Write down what a step made, and who made it, unless that was written before."""
    path = f"runs/{result.run}/result.json"
    known = None
    with contextlib.suppress(DataError):  # a damaged one is written anew
        known = stored_result(objects, result.run)
    if known is not None and known.output == result.output:
        return
    record(objects, what=result.kind, about=result.output, details={"run": result.run})
    whole = replace(result, seconds=round(result.seconds + spent_s(objects, result.run), 3))
    objects.put(path, json.dumps(asdict(whole)).encode())
