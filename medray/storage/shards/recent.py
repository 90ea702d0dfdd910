"""Chunks that were decoded last, for who draws windows of the same arrays again and again."""

import os
from collections import OrderedDict
from collections.abc import Hashable
from threading import Lock

import numpy as np


class Recent:
    """The chunks that were asked for last, at most so many bytes of them. Threads may share it.

    Args:
        most: bytes.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self.forget()
        os.register_at_fork(after_in_child=self.forget)  # a thread that is not there may hold it

    def forget(self) -> None:
        """Begin anew, with nothing."""
        self._bytes = 0
        self._chunks: OrderedDict[Hashable, np.ndarray] = OrderedDict()
        self._lock = Lock()

    def get(self, key: Hashable) -> np.ndarray | None:
        """A chunk, not to be changed; None: it is not here, or no more."""
        with self._lock:
            found = self._chunks.get(key)
            if found is not None:
                self._chunks.move_to_end(key)
            return found

    def put(self, key: Hashable, chunk: np.ndarray) -> None:
        """Keep a chunk, and let go of those that nobody has asked for longest."""
        with self._lock:
            before = self._chunks.pop(key, None)
            self._chunks[key] = chunk
            self._bytes += chunk.nbytes - (0 if before is None else before.nbytes)
            while self._bytes > self._most:
                self._bytes -= self._chunks.popitem(last=False)[1].nbytes
