"""A reader of compounds that sleeps at one of them; what `molecules.py` has its children load."""

import time

from medray.formats.molecules.reading import Reader

HANGS = "CCCCCCCCCCCCCCCCCCCS"


class Sleeper(Reader):
    """Sleeps at one row."""

    def _one(self, text: str) -> dict[str, str | None]:
        if text == HANGS:
            time.sleep(3600)
        return super()._one(text)
