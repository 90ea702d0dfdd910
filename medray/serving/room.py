"""How many requests of a model are asked of its replicas, how many wait, and who is turned away.

Counting is done here, in the process that holds the lines, and before a body is read: a refusal
costs no call to Ray. Ray's own queue asks replicas again and again how busy they are; with 100
clients for 16 places that took more of two cores than the network did.
"""

import asyncio
import math
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

# Refusals a second, and how long one is held back at most. One takes 0.4 ms here and as much at a
# client: 400 that came again at once would take more than a core.
REFUSALS_S = 100
DELAY_S = 2.0


class Room:
    """Of one model, or of all that share replicas.

    What waits is answered after what is asked already, so the wait is the share of the one in the
    other times the time of an answer: `wait` bounds it, whatever an answer takes.

    Args:
        queue: requests that wait, at most.
        wait: how many wait for each that is asked, at most; one may always.
        places: how many the replicas take at once, now.
    """

    def __init__(self, queue: int, wait: float, places: Callable[[], int]) -> None:
        self._queue, self._wait, self._places = queue, wait, places
        self._asked = self._waiting = 0
        self._turns: deque[asyncio.Future[None]] = deque()

    @property
    def full(self) -> bool:
        """Whether the next one is turned away."""
        if self._asked + self._waiting < self._places():
            return False
        return self._waiting >= min(self._queue, max(1, math.ceil(self._wait * self._places())))

    @asynccontextmanager
    async def entered(self) -> AsyncIterator["Place"]:
        """Take room for a request whose body is still to come."""
        place = Place(self)
        self._waiting += 1
        try:
            yield place
        finally:
            if place.asked:
                self._asked -= 1
            else:
                self._waiting -= 1
            self._call()

    async def turn(self) -> None:
        """Wait until a replica has a place; in the order of coming here."""
        if self._turns or self._asked >= self._places():
            mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._turns.append(mine)
            try:
                await mine
            except asyncio.CancelledError:
                if not mine.cancelled():  # called, and gone meanwhile
                    self._asked -= 1
                    self._waiting += 1
                    self._call()
                raise
        else:
            self._move()

    def _move(self) -> None:
        self._waiting -= 1
        self._asked += 1

    def _call(self) -> None:
        while self._turns and self._asked < self._places():
            first = self._turns.popleft()
            if not first.done():  # else it has left, and has yet to hear of that
                self._move()
                first.set_result(None)


@dataclass
class Place:
    """Of one request in a room."""

    room: Room
    asked: bool = False

    async def turn(self) -> None:
        """Wait until it may be asked of a replica."""
        await self.room.turn()
        self.asked = True


class Pace:
    """Refusals leave at so many a second, each before long: who asks again at once, hundreds at a
    time, would else keep a core busy with being refused.
    """

    def __init__(self, per_s: float = REFUSALS_S, most_s: float = DELAY_S) -> None:
        self._apart, self._most_s, self._next = 1 / per_s, most_s, 0.0

    async def wait(self) -> None:
        """Until this refusal may leave."""
        now = asyncio.get_running_loop().time()
        self._next = max(self._next, now)
        delay = min(self._next - now, self._most_s)
        if delay < self._most_s:
            self._next += self._apart
        if delay > 0:
            await asyncio.sleep(delay)
