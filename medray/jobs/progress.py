"""How the step at hand goes: what a driver counts, and writes down with each of its beats."""

import math
from collections import Counter, deque
from dataclasses import asdict, dataclass, field
from typing import Any

from medray.clock import SYSTEM, Clock

_AWAY = ("quarantined", "samples_quarantined", "passed_over")
WINDOW_S = 60.0  # that speed is taken over; longer where nothing ended for longer


@dataclass(frozen=True)
class Progress:
    """A step, some moment ago.

    Args:
        units: by what became of them, of those that this driver heard of or found committed.
        inputs: accountable ones of the step; epochs of a training.
        inputs_done: of these, committed or refused.
        bytes: committed by this driver.
        per_s: inputs a second over the last minute; 0: none.
        left_s: until the end, at that speed; None: nobody can tell.
        quarantined: of the inputs that are done.
        samples_quarantined: samples of the others of these.
        passed_over: of the inputs that are done, too.
    """

    units: dict[str, int] = field(default_factory=dict)
    inputs: int = 0
    inputs_done: int = 0
    bytes: int = 0
    per_s: float = 0.0
    left_s: float | None = None
    quarantined: int = 0
    samples_quarantined: int = 0
    passed_over: int = 0


class Pulse:
    """Counts the events of the step at hand. Its caller sees to it that one thread does at a time.

    Args:
        clock: by which speed is taken.
    """

    def __init__(self, clock: Clock = SYSTEM) -> None:
        self._clock = clock
        self._run = ""
        self._begin(0, 0)

    def _begin(self, inputs: int, done: int) -> None:
        self._inputs, self._done, self._bytes = inputs, done, 0
        self._units: Counter[str] = Counter()
        self._away: Counter[str] = Counter()
        # When how many inputs were done: what lies before the window, but for the newest, is gone.
        self._marks = deque([(self._clock.monotonic(), done)])

    def take(self, name: str, fields: dict[str, Any]) -> None:
        """Count an event; those of other kinds than steps, units and epochs are none of ours."""
        match name:
            case "step":
                self._run = fields["run"]
                self._begin(fields["inputs"], fields["inputs_done"])
                self._units["skipped"] = fields.get("units_skipped", 0)
                self._away.update({name: fields.get(name, 0) for name in _AWAY})
            case "unit":
                self._units[fields["state"]] += 1
                if fields["state"] in ("committed", "skipped"):
                    self._move(self._done + fields["inputs"])
                    self._away.update({name: fields.get(name, 0) for name in _AWAY})
                if fields["state"] == "committed":
                    self._bytes += fields["bytes"]
            case "epoch":
                epochs, before = fields["epochs"], fields.get("fold", 1) - 1
                done = epochs * before + fields["epoch"]
                if not self._units["epochs"]:  # a resumed training begins with those that it has
                    self._begin(epochs * fields.get("folds", 1), done)
                self._units["epochs"] = done
                self._move(done)

    def _move(self, done: int) -> None:
        self._done = done
        self._marks.append((self._clock.monotonic(), done))

    def tell(self) -> dict[str, Any]:
        """A `Progress`, with the step's run; empty before the first step."""
        if not self._run:
            return {}
        now = self._clock.monotonic()
        while len(self._marks) > 1 and self._marks[1][0] <= now - WINDOW_S:
            self._marks.popleft()
        since, before = self._marks[0]
        speed = (self._done - before) / (now - since) if now > since else 0.0
        progress = Progress(
            units=dict(+self._units),
            inputs=self._inputs,
            inputs_done=self._done,
            **{name: self._away[name] for name in _AWAY},
            bytes=self._bytes,
            per_s=round(speed, 4),
            left_s=math.ceil((self._inputs - self._done) / speed) if speed else None,
        )
        return {"run": self._run, **asdict(progress)}
