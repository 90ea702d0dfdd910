"""A reader of compounds that sleeps at one of them; what `molecules.py` has its children load."""

import time
from typing import Any

from medray.formats.molecules.reading import Reader
from medray.formats.smiles import Smiles
from medray.steps.ingest.operation import Ingest

HANGS = "CCCCCCCCCCCCCCCCCCCS"


class Sleeper(Reader):
    """Sleeps at one row."""

    def _one(self, text: str) -> dict[str, str | None]:
        if text == HANGS:
            time.sleep(3600)
        return super()._one(text)


class SleepingIngest(Ingest):
    """Ingest of compounds by `Sleeper`."""

    def __init__(self, *given: Any) -> None:
        Smiles.reader = "sleeper:Sleeper"
        super().__init__(*given)
