"""What MLflow is told of a job's steps, in a database of its own."""

import os
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from medray.errors import InterruptedRun, SpecError
from medray.jobs import tracking
from medray.jobs.run import run
from medray.steps.base.events import Event
from medray.storage.catalog.datasets import Dataset
from medray.storage.store.objects import Objects

TRAIN: dict[str, Any] = {
    "kind": "train",
    "data": "balls",
    "task": {"name": "segmentation", "classes": ["none", "a", "b"]},
    "plan": {"patch": [8, 8, 8]},
    "model": {"name": "unet", "features": [4, 8]},
    "output": "net",
    "train": {"epochs": 2, "steps_per_epoch": 2, "batch_size": 2, "augment": None},
    "tracking": "mlflow",
}
pytestmark = [  # alembic and SQLAlchemy, of MLflow's, use what Python deprecates
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A function that gives MLflow's runs of an experiment."""
    import mlflow

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")

    def found(experiment: str) -> list[Any]:
        client = mlflow.MlflowClient(tracking_uri=tracking.database())
        known = client.get_experiment_by_name(experiment)
        return list(client.search_runs([known.experiment_id])) if known else []

    return found


@pytest.mark.drill
def test_a_stopped_and_resumed_training_is_one_run(
    objects: Objects, balls: Dataset, runs: Any
) -> None:
    stop = threading.Event()

    def listen(event: Event) -> None:
        if event.name == "epoch":
            stop.set()

    with pytest.raises(InterruptedRun):
        run([TRAIN], storage=objects, cluster="inline", on_event=listen, stop=stop)
    (begun,) = runs("net")
    assert begun.info.status == "KILLED"
    assert Path(os.environ["HOME"], ".medray", "mlflow.db").is_file()
    done = run([TRAIN], storage=objects, cluster="inline").steps[0]
    (made,) = runs("net")
    assert made.info.run_id == begun.info.run_id
    assert made.info.status == "FINISHED"
    assert made.data.params["train.epochs"] == "2"
    assert made.data.params["model.name"] == "unet"
    assert made.data.tags["medray.run"] == done.run
    assert made.data.tags["medray.inputs"] == balls.reference
    assert made.data.tags["medray.output"] == done.output
    assert made.data.metrics["val_dice"] == pytest.approx(done.metrics["val_dice"])
    mlflow = sys.modules["mlflow"]
    client = mlflow.MlflowClient(tracking_uri=tracking.database())
    steps = {one.step for one in client.get_metric_history(made.info.run_id, "loss")}
    assert steps == {2, 4}
    # Done before: nothing to tell, and MLflow's run stays as it is.
    run([TRAIN], storage=objects, cluster="inline")
    assert [one.info.end_time for one in runs("net")] == [made.info.end_time]


@pytest.mark.drill
def test_a_run_goes_on_where_mlflow_cannot_be_reached(
    objects: Objects, balls: Dataset, runs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    done = run([TRAIN], storage=objects, cluster="inline").steps[0]
    assert done.units.committed == 1


def test_whose_extra_is_missing_is_told(
    objects: Objects, balls: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(SpecError) as caught:
        run([TRAIN], storage=objects, cluster="inline")
    assert caught.value.code == "missing-extra"


def test_who_is_told_is_no_part_of_what_is_made(objects: Objects, balls: Dataset) -> None:
    from medray.steps.train.spec import TrainSpec

    told, untold = TrainSpec(**TRAIN), TrainSpec(**{**TRAIN, "tracking": None})
    assert told.identity() == untold.identity()
