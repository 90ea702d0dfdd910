"""A reader of texts that hangs or dies where a text says so."""

import os
import time
from typing import Any

from medray.modalities.notation.looks import Reader


class Faulty(Reader):
    def __init__(self, asked: dict[str, Any]) -> None:
        super().__init__(asked)
        molecule = self._molecule

        def read(text: str) -> Any:
            if text == "hang":
                time.sleep(60)
            if text == "die":
                os._exit(3)
            return molecule(text)

        self._molecule = read
