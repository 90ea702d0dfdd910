"""Worker processes are kept from step to step, and each is handed what no other needs."""

import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from medray.cluster import batch
from medray.cluster.crew import Place
from medray.engine.units.operation import Unit

SCRIPT = """
import os, sys
import ray
from medray.cluster.crew import Crew, Place
from medray.cluster.session import start_local

def look(actor):
    return os.getpid(), sorted({"pandas", "ray.data", "ray.train", "torch"} & set(sys.modules))

with start_local(num_cpus=2):
    crew = Crew()
    def seen(count, place):
        members = crew.muster(count, place)
        return [ray.get(one.actor.__ray_call__.remote(look)) for one in members]

    first = seen(2, Place())
    print([loaded for _, loaded in first])
    print(seen(2, Place()) == first, seen(1, Place()) == first[:1])
    other = seen(1, Place(memory_bytes=2**30))
    print(other[0] not in first, seen(1, Place(memory_bytes=2**30)) != other)
"""


def test_processes_are_kept_for_the_like_place_and_load_little() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=110
    )
    assert done.stdout == "[[], []]\nTrue True\nTrue True\n", done.stderr[-2000:]


def _crew(*coming: bool) -> Any:
    actor = SimpleNamespace(run=SimpleNamespace(remote=lambda *_: object()))
    members = [
        SimpleNamespace(actor=actor, coming=object() if one else None, tasks=0) for one in coming
    ]
    return SimpleNamespace(muster=lambda *_: members)


@pytest.mark.parametrize(
    ("units", "coming", "ahead", "tasks"),
    [
        (2, (False, True), 2, [1, 0]),  # the second is for whom is still on the way
        (3, (False, True), 2, [2, 0]),
        (2, (False, False), 2, [1, 1]),
        (9, (False, False), 2, [2, 2]),  # one that is read ahead while the other is computed
        (9, (False, False), 3, [3, 3]),
    ],
)
def test_nobody_is_handed_what_another_could_begin(
    units: int,
    coming: tuple[bool, ...],
    ahead: int,
    tasks: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(batch.ray, "put", lambda spec: spec)
    todo, crew = [Unit(str(n), n, (), {}) for n in range(units)], _crew(*coming)
    batch._Work(None, todo, 1, ahead, len(coming), Place(), crew)  # type: ignore[arg-type]
    assert [one.tasks for one in crew.muster()] == tasks
