"""A reader of compounds that sleeps at one of them.

It is what `molecules.py` has children load, so it imports what medray's own reader does, and no
more: a child that loads the ingest step as well takes 50 ms longer to begin.
"""

import time

from medray.formats.molecules.reading import Reader

HANGS = "CCCCCCCCCCCCCCCCCCCS"


class Sleeper(Reader):
    """Sleeps at one row."""

    def _one(self, text: str) -> dict[str, str | None]:
        if text == HANGS:
            time.sleep(3600)
        return super()._one(text)
