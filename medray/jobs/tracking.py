"""Tell MLflow what steps were run with, and what came out: `tracking: mlflow` in a step.

MLflow is told by the driver and decides nothing: storage stays the truth of a run, and where MLflow
cannot be reached the run goes on. One experiment for each output, one MLflow run for each run of
medray's, which a resumed run goes on with.
"""

import contextlib
import numbers
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from medray.errors import InterruptedRun
from medray.extras import need
from medray.log import event as log_event
from medray.spec.step import StepSpec
from medray.spec.urls import refuse_userinfo
from medray.steps.base.events import Event, Listener
from medray.steps.base.resolved import Resolved

DATABASE = "~/.medray/mlflow.db"
MOST_PARAMS = 100  # that MLflow takes at once
_PLACES = frozenset({"run", "epoch", "epochs", "step"})  # of an epoch: where it is, not how


@contextlib.contextmanager
def tracked(resolved: Resolved[Any], tell: Listener) -> Iterator[Listener]:
    """A listener in the place of `tell`, which MLflow hears too where the step asks for it.

    Args:
        resolved: the step.
        tell: heard in any case.

    Raises:
        SpecError: MLflow is not installed (code "missing-extra").
    """
    if resolved.step.tracking is None:
        yield tell
        return
    tracker = _Tracker(resolved)

    def both(event: Event) -> None:
        tell(event)
        tracker.hear(event)

    try:
        yield both
    except BaseException as error:
        tracker.close("KILLED" if isinstance(error, InterruptedRun) else "FAILED")
        raise
    tracker.close("FINISHED")


def database() -> str:
    """Where MLflow keeps runs: MLFLOW_TRACKING_URI, else a file of the user's.

    Raises:
        SpecError: a secret stands in the URI (code "secret-in-url"): MLflow would log it.
    """
    given = os.environ.get("MLFLOW_TRACKING_URI")
    if given:
        user = (
            "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD say who asks a tracking server"
        )
        return refuse_userinfo(given, "MLFLOW_TRACKING_URI", user)
    file = Path(DATABASE).expanduser()
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return f"sqlite:///{file}"


class _Tracker:
    """One run of MLflow's, opened when there is something to tell: not for work done before."""

    def __init__(self, resolved: Resolved[Any]) -> None:
        self._resolved = resolved
        self._run = ""
        # Says to its makers who uses it for what, unless told not to.
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        need("mlflow", what="tracking")
        import mlflow

        self._errors: tuple[type[Exception], ...] = (mlflow.MlflowException, OSError)
        self._client: Any = mlflow.MlflowClient(tracking_uri=database())

    def hear(self, event: Event) -> None:
        """Pass on what is worth it."""
        fields = event.fields
        if event.name == "epoch":
            values = {name: fields[name] for name in fields if name not in _PLACES}
            self._tell(values, int(fields["step"]), {})
        elif event.name == "done" and (self._run or fields["units"]["committed"]):
            units = {f"inputs_{name}": count for name, count in fields["units"].items()}
            made = {"medray.output": fields["output"], "medray.digest": fields["digest"]}
            self._tell({**fields["metrics"], **units, "seconds": fields["seconds"]}, 0, made)

    def close(self, status: str) -> None:
        """Say how it ended, if MLflow knows of it."""
        if self._run:
            with self._quietly():
                self._client.set_terminated(self._run, status)

    def _tell(self, values: dict[str, Any], step: int, tags: dict[str, str]) -> None:
        from mlflow.entities import Metric, RunTag

        now = int(time.time() * 1000)
        with self._quietly():
            self._open()
            self._client.log_batch(
                self._run,
                metrics=[
                    Metric(name, float(value), now, step)
                    for name, value in values.items()
                    if isinstance(value, numbers.Real)
                ],
                tags=[RunTag(name, value) for name, value in tags.items()],
            )

    def _open(self) -> None:
        if self._run:
            return
        from mlflow.entities import Param

        resolved, client = self._resolved, self._client
        known = client.get_experiment_by_name(resolved.output)
        place = known.experiment_id if known else client.create_experiment(resolved.output)
        before = client.search_runs([place], f"tags.`medray.run` = '{resolved.run}'")
        if before:
            self._run = before[0].info.run_id
            client.update_run(self._run, status="RUNNING")
            return
        tags = {"medray.run": resolved.run, "medray.inputs": ", ".join(resolved.parents)}
        made = client.create_run(place, run_name=resolved.run, tags=tags)
        self._run = made.info.run_id
        said = _flat(resolved.step.model_dump(mode="json", exclude=set(StepSpec.incidental)))
        params = [Param(name, str(value)[:500]) for name, value in said.items()]
        client.log_batch(self._run, params=params[:MOST_PARAMS])

    @contextlib.contextmanager
    def _quietly(self) -> Iterator[None]:
        try:
            yield
        except self._errors as error:
            log_event("tracking-failed", level=30, exception=type(error).__name__)


def _flat(values: dict[str, Any], at: str = "") -> dict[str, Any]:
    """Nested settings by their paths; what is null says nothing. Places of files are left out."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{at}{name}.")
        elif value is not None and name not in ("source", "to"):
            flat[f"{at}{name}"] = value
    return flat
