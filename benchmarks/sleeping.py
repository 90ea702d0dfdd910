"""Ingest of compounds by a reader that sleeps; what `molecules.py` has workers load."""

from typing import Any

from medray.formats.smiles import Smiles
from medray.steps.ingest.operation import Ingest


class SleepingIngest(Ingest):
    """Ingest of compounds by `Sleeper`."""

    def __init__(self, *given: Any) -> None:
        Smiles.reader = "sleeper:Sleeper"
        super().__init__(*given)
