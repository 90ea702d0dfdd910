"""Attempts at a unit, and what the ledger tells of those before."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Attempt:
    """One attempt at a unit.

    Args:
        unit: id of the unit.
        id: random name, part of the output path.
        number: 1 for the first.
        careful: earlier attempts died: go input by input and `mark` each before touching it.
        condemned: inputs that killed `max_attempts` careful attempts: quarantine them unseen.
        fence: that stood in the place of the unit's record before it was begun; see
            `medray.storage.store.fence`.
    """

    unit: str
    id: str
    number: int
    careful: bool
    condemned: frozenset[str]
    fence: str = ""


@dataclass(frozen=True)
class History:
    """How earlier attempts at a unit ended.

    Args:
        last: number of the newest attempt, 0 if there is none.
        careful: so many died that the next is to go input by input.
        unexplained: how many died while no input was marked.
        condemned: see Attempt.
    """

    last: int
    careful: bool
    unexplained: int
    condemned: frozenset[str]
