"""What a driver tells of its step, and what `status` makes of it."""

import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from medray.cli import main
from medray.clock import VirtualClock
from medray.engine.units.operation import Unit
from medray.engine.units.worker import Receipt, Worker
from medray.jobs.kept import Life
from medray.jobs.progress import WINDOW_S, Progress, Pulse
from medray.jobs.run import run
from medray.jobs.status import JobStatus, job_status, jobs
from medray.steps.base.events import Event
from medray.storage.catalog.ledger import Ledger
from medray.storage.store.documents import decode
from medray.storage.store.objects import Objects


def pulse_of(clock: VirtualClock, **step: Any) -> Pulse:
    pulse = Pulse(clock)
    assert pulse.tell() == {}
    pulse.take("step", {"run": "r", "inputs": 100, "inputs_done": 20, "units_skipped": 2, **step})
    return pulse


def life_of(pulse: Pulse) -> Life:
    """As another process reads what a driver wrote of itself."""
    moment = "2026-01-01T00:00:00+00:00"
    life = {"session": "", "started": moment, "seen": moment, "state": "running"}
    return decode(json.dumps({**life, "step": pulse.tell()}).encode(), "", Life)


def unit(state: str = "committed", inputs: int = 10) -> tuple[str, dict[str, Any]]:
    counts = {"inputs": inputs, "bytes": 1000, "quarantined": 1, "passed_over": 2,
              "samples_quarantined": 3}  # fmt: skip
    return "unit", {"state": state, **counts}


def test_units_are_counted_by_what_became_of_them() -> None:
    clock = VirtualClock(datetime(2026, 1, 1, tzinfo=UTC))
    pulse = pulse_of(clock)
    clock.sleep(10)
    for state in ("committed", "committed", "skipped", "failed", "drained"):
        pulse.take(*unit(state))
    told = life_of(pulse).progress("r")
    units = {"skipped": 3, "committed": 2, "failed": 1, "drained": 1}
    # 30 of 80 inputs in 10 s.
    away = {"quarantined": 3, "samples_quarantined": 9, "passed_over": 6}
    assert told == Progress(units, 100, 50, 2000, per_s=3.0, left_s=17, **away)
    assert life_of(pulse).progress("another run") == Progress()
    assert life_of(Pulse()).progress("r") == Progress(), "before the first step"


def test_speed_is_that_of_the_last_minute_or_of_the_last_unit() -> None:
    clock = VirtualClock(datetime(2026, 1, 1, tzinfo=UTC))
    pulse = pulse_of(clock, inputs=1000, inputs_done=0)
    for _ in range(20):  # an input a second
        clock.sleep(10)
        pulse.take(*unit())
    assert pulse.tell()["per_s"] == 1.0
    for _ in range(7):  # and now a tenth of that
        clock.sleep(10)
        pulse.take(*unit(inputs=1))
    assert pulse.tell()["per_s"] == 0.1
    clock.sleep(10 * WINDOW_S)  # a unit that takes long
    told = pulse.tell()
    assert (told["per_s"], told["inputs_done"]) == (0.0, 207)
    assert told["left_s"] is None


def test_epochs_of_a_resumed_training() -> None:
    clock = VirtualClock(datetime(2026, 1, 1, tzinfo=UTC))
    pulse = pulse_of(clock, inputs=1, inputs_done=0, units_skipped=0)
    for epoch in (8, 9, 10):
        clock.sleep(120)
        pulse.take("epoch", {"epochs": 20, "folds": 2, "fold": 1, "epoch": epoch})
    told = pulse.tell()
    assert (told["inputs"], told["inputs_done"], told["left_s"]) == (40, 10, 30 * 120)


def test_status_of_a_run_under_way_and_of_one_that_is_over(
    objects: Objects, cohort: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr("medray.jobs.driver.BEAT_S", 0.01)
    monkeypatch.setattr("medray.jobs.driver.LOOK_S", 0.01)
    step = {
        "kind": "ingest",
        "format": {"name": "nifti", "layout": "msd"},
        "source": str(cohort),
        "output": "heads",
        "units": {"samples": 1},
        "policy": {"error_budget": 0.2},
    }
    seen: list[JobStatus] = []
    shown: list[str] = []
    looked, begin = threading.Event(), Worker.run

    def after_the_look(self: Worker, unit: Unit) -> Receipt:
        assert unit.index == 0 or looked.wait(60)
        return begin(self, unit)

    monkeypatch.setattr(Worker, "run", after_the_look)

    def listen(event: Event) -> None:
        if event.name != "unit" or seen:
            return
        # Another worker begins the last unit, for the second time.
        ledger, last = Ledger(objects, "heads"), _units(objects)[-1]
        ledger.end(ledger.begin(last), "failed")
        ledger.begin(last)
        wait(lambda: _at_hand(objects).progress.inputs_done == 2)
        seen.append(job_status(objects, jobs(objects)[0].job))
        shown.append(CliRunner().invoke(main, ["status", "job", "--storage", objects.url]).stdout)
        looked.set()

    run(step, storage=objects, cluster="inline", on_event=listen)
    (state,) = seen
    (at_hand,) = state.steps
    assert (state.state, state.dashboard) == ("running", "")
    assert (at_hand.units, at_hand.committed, at_hand.retries, at_hand.workers) == (8, 1, 1, 1)
    assert at_hand.progress.units == {"committed": 1}
    assert at_hand.progress.bytes > 100
    assert at_hand.progress.per_s > 0
    assert " at work " in shown[0]
    assert "running" in shown[0]
    over = job_status(objects, state.job)
    assert (over.state, over.steps[0].workers, over.steps[0].committed) == ("done", 0, 8)
    assert over.steps[0].progress.left_s == 0


def _units(objects: Objects) -> list[str]:
    import io

    import pyarrow.parquet as pq

    (path,) = (e.path for e in objects.walk("runs") if e.path.endswith("plan.parquet"))
    return pq.read_table(io.BytesIO(objects.get(path)))["unit"].to_pylist()


def _at_hand(objects: Objects) -> Any:
    return job_status(objects, jobs(objects)[0].job).steps[-1]


def wait(true: Callable[[], bool]) -> None:
    for _ in range(500):
        if true():
            return
        threading.Event().wait(0.02)
    raise AssertionError("waited in vain")
