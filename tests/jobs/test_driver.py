"""What a driver writes down of a step that did not come to its end."""

import pytest

from medray.jobs.driver import keep_job, spent_s, timed
from medray.spec.load import Source
from medray.storage.store.objects import Objects


def test_the_time_of_runs_that_failed_adds_up(objects: Objects) -> None:
    assert spent_s(objects, "step") == 0.0
    objects.put("runs/step/spent.json", b'{"seconds": 3.5}')
    with pytest.raises(ZeroDivisionError), timed(objects, "step"):
        _ = 1 / 0
    assert 3.5 <= spent_s(objects, "step") < 4.5


@pytest.mark.parametrize("damaged", [b"", b"[1]", b'{"seconds": NaN}', b'{"seconds": "x"}'])
def test_a_damaged_time_counts_for_nothing(damaged: bytes, objects: Objects) -> None:
    objects.put("runs/step/spent.json", damaged)
    assert spent_s(objects, "step") == 0.0


def test_a_job_is_written_down_once_and_mended_where_it_is_damaged(objects: Objects) -> None:
    source = Source("a.yaml", [{"kind": "ingest", "source": "x"}])
    path = f"runs/{keep_job(objects, source, None)}/job.json"
    data, tag = objects.get_tagged(path)
    keep_job(objects, source, None)
    assert objects.get_tagged(path) == (data, tag)
    objects.put(path, data[:-1])
    keep_job(objects, source, None)
    assert objects.get(path) == data
    keep_job(objects, source, "lab")
    assert b"lab" in objects.get(path)
