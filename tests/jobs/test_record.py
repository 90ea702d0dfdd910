"""What a driver writes down of a step that did not come to its end."""

import pytest

from medray.jobs.record import spent_s, timed
from medray.storage.objects import Objects


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
