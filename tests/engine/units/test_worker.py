"""The worker: every input ends taken or refused, whatever fails, and what passes is tried again."""

import errno
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pytest

from medray.engine.units import worker as worker_module
from medray.engine.units.inline import run_inline
from medray.engine.units.operation import Operation, Unit
from medray.engine.units.worker import Receipt, Worker, WorkerSpec
from medray.errors import DataError, FatalError, RetryableError
from medray.storage.catalog.ledger import Ledger
from medray.storage.shards.forms.ome import LABEL
from medray.storage.shards.reader import Shard
from medray.storage.shards.records import Refusal
from medray.storage.shards.rows import Rows
from medray.storage.shards.samples import Sample, Slabs
from medray.storage.shards.schema import Arrays
from medray.storage.store.objects import Objects


class Scripted(Operation):
    """Does what `script` says of a key; counts its calls."""

    name: ClassVar[str] = "scripted"
    arrays: ClassVar[Arrays] = {"x": LABEL, "label": LABEL}
    script: ClassVar[dict[str, Callable[[], None]]] = {}
    computing: ClassVar[dict[str, Callable[[], None]]] = {}
    many: ClassVar[int] = 1
    sizes: ClassVar[list[int]] = []

    @property
    def batch(self) -> int:
        return int(self.parameters.get("batch", 1))

    def load(self, unit: Unit, key: str) -> Iterator[Sample | Refusal]:
        for part in range(self.many):
            yield Sample(f"{key}.{part}", {"key": key}, {"x": np.full((2, 2), part, "uint8")})
        self.script.get(key, lambda: None)()

    def compute(self, samples: Sequence[Sample]) -> Iterator[Sample]:
        self.sizes.append(len(samples))
        for sample in samples:
            yield sample
            self.computing.get(sample.id, lambda: None)()


class Ahead(Scripted):
    """The same on a device."""

    device: ClassVar[bool] = True


@pytest.fixture(params=[Scripted, Ahead])
def operation(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> type[Scripted]:
    kind: type[Scripted] = request.param
    for name, fresh in (("script", {}), ("computing", {}), ("many", 1), ("sizes", [])):
        monkeypatch.setattr(kind, name, fresh)
    monkeypatch.setattr(worker_module, "operation_of", lambda target: kind)
    monkeypatch.setattr(worker_module.time, "sleep", lambda seconds: None)
    return kind


UNIT = Unit("u", 0, ("a", "b", "c"), {})


def run(objects: Objects, *, unit: Unit = UNIT, session: str = "s", **parameters: Any) -> Receipt:
    return Worker(WorkerSpec("x", parameters, objects, "d", session=session)).run(unit)


def outcome(objects: Objects) -> tuple[list[str], list[tuple[str, str, str]]]:
    """Ids of the committed samples, and (source, code, sample) of the refusals."""
    commit = Ledger(objects, "d").commit_of("u")
    assert commit is not None
    table = Shard(objects, commit.shard.pinned).table
    refused = [(item.source, item.code, item.sample) for item in commit.refused]
    return table["sample_id"].to_pylist(), refused


def fail(error: Exception, times: int = 10**9) -> Callable[[], None]:
    """Raises the error the first `times` times."""
    left = [times]

    def strike() -> None:
        if left[0]:
            left[0] -= 1
            raise error

    return strike


def test_a_unit_is_committed_once(objects: Objects, operation: type[Scripted]) -> None:
    first = run(objects)
    assert (first.state, first.rows, first.inputs, first.quarantined) == ("committed", 3, 3, 0)
    assert run(objects).state == "committed"  # by this run: its worker died before it could say so
    assert run(objects, session="another").state == "skipped"
    assert set(first.seconds) >= {"read", "compute", "write"}


def test_a_bad_input_leaves_no_sample_behind(objects: Objects, operation: type[Scripted]) -> None:
    operation.many = 2
    operation.script["b"] = fail(DataError("made up", code="bad"))
    assert run(objects, batch=4).quarantined == 1
    assert outcome(objects) == (["a.0", "a.1", "c.0", "c.1"], [("b", "bad", "")])


def test_an_unexpected_error_is_refused_by_its_type_alone(
    objects: Objects, operation: type[Scripted]
) -> None:
    operation.script["b"] = fail(ValueError("patient Meier"))
    run(objects)
    commit = Ledger(objects, "d").commit_of("u")
    assert commit is not None
    assert commit.refused == [Refusal("b", "unexpected-error", "ValueError")]


def test_one_bad_sample_of_an_input_is_refused_by_name(
    objects: Objects, operation: type[Scripted]
) -> None:
    operation.many = 2
    operation.computing["b.1"] = fail(DataError("made up", code="nan"))
    assert run(objects, batch=6).quarantined == 0
    assert outcome(objects) == (["a.0", "a.1", "b.0", "c.0", "c.1"], [("b", "nan", "b.1")])


def test_what_comes_after_a_bad_sample_goes_in_whole_batches(
    objects: Objects, operation: type[Scripted]
) -> None:
    operation.computing["b.0"] = fail(DataError("made up", code="nan"))
    names = tuple("abcdefghij")
    run(objects, unit=Unit("u", 0, names, {}), batch=4)
    assert outcome(objects) == ([f"{name}.0" for name in names if name != "b"], [("b", "nan", "")])
    assert operation.sizes == ([4, 2, 1, 1, 2, 4, 2] if operation.device else [1] * 10)


def test_an_input_without_a_good_sample_is_quarantined(
    objects: Objects, operation: type[Scripted]
) -> None:
    operation.many = 2
    for name in ("b.0", "b.1"):
        operation.computing[name] = fail(DataError("made up", code="nan"))
    assert run(objects).quarantined == 1
    ids, refused = outcome(objects)
    assert ids == ["a.0", "a.1", "c.0", "c.1"]
    assert refused == [("b", "nan", ""), ("b", "nan", "b.1")]


def test_passing_faults_are_tried_again_and_lasting_ones_end_the_unit(
    objects: Objects, operation: type[Scripted]
) -> None:
    operation.script["b"] = fail(RetryableError("made up", code="reset"), times=3)
    assert run(objects).state == "committed"
    operation.script["b"] = fail(RetryableError("made up", code="reset"), times=4)
    receipt = run(objects, unit=Unit("v", 1, ("b",), {}))
    assert (receipt.state, receipt.exit_status, receipt.error) == ("failed", 5, "made up [reset]")
    assert Ledger(objects, "d").history("v").unexplained == 0, "alive, so no death"
    assert objects.folders("datasets/d/shards") == [
        f"u-{Ledger(objects, 'd').commit_of('u').attempt}"
    ]


@pytest.mark.parametrize("where", ["script", "computing"])
def test_a_library_that_is_missing_is_no_fault_of_an_input(
    objects: Objects, operation: type[Scripted], where: str
) -> None:
    """It would quarantine all of them."""
    lacks = ModuleNotFoundError("No module named 'pysam.utils'", name="pysam.utils")
    getattr(operation, where).update({"b": fail(lacks), "b.0": fail(lacks)})
    receipt = run(objects)
    assert (receipt.state, receipt.exit_status) == ("failed", 2)
    assert "medray[genomics]" in receipt.error
    assert Ledger(objects, "d").commit_of("u") is None


def test_too_many_open_files_are_no_fault_of_an_input(
    objects: Objects, operation: type[Scripted]
) -> None:
    operation.script["b"] = fail(OSError(errno.EMFILE, "too many"), times=3)
    receipt = run(objects)
    assert (receipt.state, receipt.rows, receipt.quarantined) == ("committed", 3, 0)
    operation.script["b"] = fail(OSError(errno.EMFILE, "too many"))
    receipt = run(objects, unit=Unit("v", 1, ("b",), {}))
    assert (receipt.state, receipt.exit_status) == ("failed", 5)
    assert "[too-many-open-files] (raise the limit: `ulimit -n" in receipt.error


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (RetryableError("full", code="storage-full"), 5),
        (FatalError("broken", code="read-back-mismatch"), 1),
    ],
)
def test_what_will_not_pass_is_tried_once(
    error: Exception, status: int, objects: Objects, operation: type[Scripted]
) -> None:
    operation.script["b"] = fail(error, times=1)
    receipt = run(objects)
    assert (receipt.state, receipt.exit_status) == ("failed", status)


def test_lack_of_memory_halves_the_batch_then_goes_alone_then_refuses(
    objects: Objects, operation: type[Scripted]
) -> None:
    operation.computing["b.0"] = fail(MemoryError())
    assert run(objects, batch=4).quarantined == 1
    assert outcome(objects) == (["a.0", "c.0"], [("b", "out-of-memory", "")])
    expected = [3, 1, 1, 1, 1, 1] if operation.device else [1, 1, 1, 1, 1]
    assert operation.sizes == expected


@pytest.mark.parametrize("where", ["script", "computing"])
def test_lack_of_memory_that_a_neighbour_caused_refuses_nothing(
    where: str, objects: Objects, operation: type[Scripted]
) -> None:
    error = RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate")
    getattr(operation, where)["b" if where == "script" else "b.0"] = fail(error, times=1)
    assert run(objects).quarantined == 0
    assert outcome(objects) == (["a.0", "b.0", "c.0"], [])


def test_a_unit_that_breaks_the_writer_fails_in_its_receipt(
    objects: Objects, operation: type[Scripted], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: object) -> None:
        raise ZeroDivisionError("patient Meier")

    monkeypatch.setattr(worker_module.ShardWriter, "finish", broken)
    receipt = run(objects)
    assert (receipt.state, receipt.exit_status) == ("failed", 1)
    assert receipt.error == "ZeroDivisionError"


def test_condemned_inputs_are_not_touched(objects: Objects, operation: type[Scripted]) -> None:
    ledger = Ledger(objects, "d", session="s")
    for number in range(6):
        attempt = ledger.begin("u")
        if number >= 3:
            ledger.mark(attempt, "b")
    operation.script["b"] = lambda: pytest.fail("touched")
    assert run(objects).quarantined == 1
    assert outcome(objects) == (["a.0", "c.0"], [("b", "poison", "")])


def test_a_unit_that_kills_without_touching_an_input_is_given_up(
    objects: Objects, operation: type[Scripted]
) -> None:
    ledger = Ledger(objects, "d", session="s")
    for _ in range(6):
        ledger.begin("u")
    receipt = run(objects)
    assert (receipt.state, receipt.exit_status) == ("failed", 1)
    assert "unit-kills-worker" in receipt.error


def test_inline_gives_one_receipt_a_unit_and_drains(
    objects: Objects, operation: type[Scripted]
) -> None:
    units = [Unit(f"u{n}", n, (f"k{n}",), {}) for n in range(12)]
    stop, seen = threading.Event(), []

    def take(receipt: Receipt) -> None:
        seen.append(receipt)
        stop.set()

    run_inline(WorkerSpec("x", {}, objects, "d"), units, take, stop)
    assert sorted(receipt.index for receipt in seen) == list(range(12))
    drained = [receipt for receipt in seen if receipt.state == "drained"]
    assert 1 <= len(drained) < 12
    assert len(Ledger(objects, "d").committed(u.id for u in units)) == 12 - len(drained)


def test_where_every_input_fails_unforeseen_the_code_is_to_blame(
    objects: Objects, operation: type[Scripted]
) -> None:
    operation.script.update(dict.fromkeys(UNIT.inputs, [].pop))
    receipt = run(objects)
    assert (receipt.state, receipt.exit_status) == ("failed", 1)
    assert "all 3 inputs failed unforeseen (IndexError) [unexpected-error]" in receipt.error
    assert Ledger(objects, "d").commit_of("u") is None


def test_rows_come_as_they_are(
    objects: Objects, operation: type[Scripted], monkeypatch: pytest.MonkeyPatch
) -> None:
    table = pa.table({"sample_id": ["x", "y"], "n": [1, 2]})
    monkeypatch.setattr(operation, "compute", lambda self, samples: iter([Rows(table)]))
    receipt = Worker(WorkerSpec("scripted", {}, objects, "d")).run(Unit("u", 0, ("a",), {}))
    assert (receipt.state, receipt.rows, receipt.quarantined) == ("committed", 2, 0)


def test_slabs_that_are_made_as_they_are_written_count_as_what_makes_them(
    objects: Objects, operation: type[Scripted], monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow() -> Iterator[np.ndarray]:
        for _ in range(2):
            until = time.monotonic() + 0.2
            while time.monotonic() < until:
                pass
            yield np.zeros((1, 4, 4), np.uint8)

    def compute(self: Scripted, samples: Sequence[Sample]) -> Iterator[Sample]:
        for sample in samples:
            label = Slabs((2, 4, 4), np.dtype(np.uint8), 0, slow())
            yield Sample(sample.id, sample.row, {"label": label})

    monkeypatch.setattr(operation, "compute", compute)
    receipt = Worker(WorkerSpec("scripted", {}, objects, "d")).run(Unit("u", 0, ("a",), {}))
    assert receipt.state == "committed", receipt.error
    making = receipt.seconds["compute" if operation.device else "read"]
    assert making >= 0.4
    assert receipt.seconds["write"] < making
