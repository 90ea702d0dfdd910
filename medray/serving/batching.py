"""Requests that come while the device computes go through the network together."""

import asyncio
import math
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass
class _Waiting(Generic[Item, Result]):
    item: Item
    answer: "asyncio.Future[Result]"
    since: float = field(default_factory=time.monotonic)


class Batcher(Generic[Item, Result]):
    """A batch computes; the next one gathers until a device is free.

    A device that is idle waits for a batch to fill, counted from its first request; one that was
    busy for longer than that takes at once whatever has come. (Ray's `serve.batch` closes the next
    batch while one still computes: eight clients made batches of one and two.)

    Args:
        compute: results for items, in their order.
        most: items in a batch.
        wait_s: for a batch to fill.
        devices: how many there are, now; what has come is shared out to those that are idle.
        ahead: batches under way for each.
    """

    def __init__(
        self,
        compute: Callable[[list[Item]], Awaitable[Sequence[Result]]],
        most: int,
        wait_s: float,
        devices: Callable[[], int] = lambda: 1,
        ahead: int = 1,
    ) -> None:
        self._compute, self._most, self._wait_s = compute, most, wait_s
        self._devices, self._ahead = devices, ahead
        self._waiting: deque[_Waiting[Item, Result]] = deque()
        self._full, self._free = asyncio.Event(), asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._under_way: set[asyncio.Task[None]] = set()

    async def __call__(self, item: Item, *, gathered: bool = False) -> Result:
        """The item's result. Cancelled before its batch began, it is not computed.

        Args:
            item: to be computed.
            gathered: it has waited for others already.
        """
        one: _Waiting[Item, Result] = _Waiting(item, asyncio.get_running_loop().create_future())
        self._waiting.append(one)
        if gathered or len(self._waiting) >= self._most:
            self._full.set()
        if self._task is None:
            self._task = asyncio.create_task(self._drain())
        return await one.answer

    async def _drain(self) -> None:
        while self._waiting:
            while len(self._under_way) >= self._ahead * self._devices():
                self._free.clear()
                await self._free.wait()
            await self._gather()
            idle = max(1, self._devices() - len(self._under_way))
            count = min(self._most, math.ceil(len(self._waiting) / idle))
            first = [self._waiting.popleft() for _ in range(count)]
            if len(self._waiting) < self._most:
                self._full.clear()
            if batch := [one for one in first if not one.answer.done()]:
                task = asyncio.create_task(self._answer(batch))
                self._under_way.add(task)
                task.add_done_callback(self._ended)
        self._task = None

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        self._free.set()

    async def _gather(self) -> None:
        left = self._waiting[0].since + self._wait_s - time.monotonic()
        if left > 0:
            try:
                async with asyncio.timeout(left):
                    await self._full.wait()
            except TimeoutError:
                pass

    async def _answer(self, batch: list[_Waiting[Item, Result]]) -> None:
        try:
            made = await self._compute([one.item for one in batch])
        except Exception as error:  # noqa: BLE001 - goes to whom it concerns
            if len(batch) > 1:  # to one of them, maybe
                for one in batch:
                    await self._answer([one])
            elif not batch[0].answer.done():
                batch[0].answer.set_exception(error)
            return
        for one, result in zip(batch, made, strict=True):
            if not one.answer.done():
                one.answer.set_result(result)
