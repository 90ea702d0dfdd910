"""What was refused of a step's inputs, held against its error budget."""

from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from medray.errors import DataError
from medray.steps.base.planned import Planned
from medray.steps.base.resolved import Resolved
from medray.storage.catalog.commits import Commits
from medray.storage.catalog.quarantine import keep_refusals
from medray.storage.shards.records import Kind, Refusal, whole_inputs
from medray.storage.store.objects import Objects

if TYPE_CHECKING:
    from medray.engine.units.worker import Receipt


class Budget:
    """Counts refused inputs against the step's error budget. What is passed over is no input of it.

    Args:
        resolved: the step.
        planned: its units.
        before: what is committed already.
        objects: the storage root.
    """

    def __init__(
        self, resolved: Resolved[Any], planned: Planned, before: Commits, objects: Objects
    ) -> None:
        self._run, self._planned = resolved.run, planned
        self._output, self._objects = resolved.output, objects
        self._share = resolved.step.policy.error_budget
        counts = [_planned_away(planned), *map(whole_inputs, before.refused.values())]
        self.refused = sum(refused for refused, _ in counts)
        self.asked_for = planned.inputs - sum(passed for _, passed in counts)

    def take(self, receipt: "Receipt") -> bool:
        """Count a receipt; whether the budget is overdrawn now."""
        self.refused += receipt.quarantined
        self.asked_for -= receipt.passed_over
        return self._overdrawn

    @property
    def _overdrawn(self) -> bool:
        # As it was written: 0.29 * 100 is less than 29 in floats.
        return self.refused > Fraction(str(self._share)) * self.asked_for

    def check(self, commits: Commits) -> None:
        """Raise DataError if the budget is overdrawn (code "error-budget"); refusals are kept."""
        if not self._overdrawn:
            return
        keep_refusals(self._objects, self._output, commits, self._planned.refused)
        codes = reasons(commits, self._planned.refused)
        listed = ", ".join(f"{code}: {count}" for code, count in codes.items())
        raise DataError(
            f"{self.refused} of {self.asked_for} inputs were refused"
            + (f" ({listed})" if listed else ""),
            code="error-budget",
            about=self._run,
            hint=f"`medray quarantine {self._output}` has the reasons; mend the data, or raise "
            f"policy.error_budget above {self._share:g}",
        )


def _planned_away(planned: Planned) -> tuple[int, int]:
    """Inputs that the plan quarantines, and passes over; each of its refusals is one."""
    passed = sum(item.kind == "passed-over" for item in planned.refused)
    return len(planned.refused) - passed, passed


def reasons(
    commits: Commits, planned: Sequence[Refusal], kind: Kind = "quarantined"
) -> dict[str, int]:
    """Inputs refused whole, by code, most frequent first. An input counts by its first refusal."""
    first: dict[tuple[str, str], str] = {}
    for unit, refused in commits.refused.items():
        # One that is quarantined is not passed over too.
        for item in sorted(refused, key=lambda item: item.kind != "quarantined"):
            if not item.sample:
                first.setdefault((unit, item.source), f"{item.kind} {item.code}")
    counts = Counter(first.values()) + Counter(f"{item.kind} {item.code}" for item in planned)
    return {
        name.removeprefix(f"{kind} "): count
        for name, count in counts.most_common()
        if name.startswith(f"{kind} ")
    }
