"""A reader whose rows sleep, or end the process, where their text says so."""

import os
import time

from medray.formats.molecules.reading import Reader


class Faulty(Reader):
    """Texts "hang", "die" and "slow" are what they say; all others are SMILES."""

    def _one(self, text: str) -> dict[str, str | None]:
        match text:
            case "hang":
                time.sleep(600)
            case "die":
                os._exit(1)
            case "slow":
                time.sleep(0.4)
                text = "CCO"
        return super()._one(text)


class Dead:
    """Ends its process before any row."""

    def __init__(self, _options: dict[str, object]) -> None:
        os._exit(1)
