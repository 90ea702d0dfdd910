"""Requests that come while the device computes go through the network together."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
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
    """One batch computes, on a thread; the next one gathers until the device is free.

    A device that is idle waits for a batch to fill, counted from its first request; one that was
    busy for longer than that takes at once whatever has come. (Ray's `serve.batch` closes the next
    batch while one still computes: eight clients made batches of one and two.)

    Args:
        compute: results for items, in their order; called on one thread at a time.
        most: items in a batch.
        wait_s: for a batch to fill.
    """

    def __init__(
        self, compute: Callable[[list[Item]], Sequence[Result]], most: int, wait_s: float
    ) -> None:
        self._compute, self._most, self._wait_s = compute, most, wait_s
        self._waiting: deque[_Waiting[Item, Result]] = deque()
        self._full = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def __call__(self, item: Item) -> Result:
        """The item's result. Cancelled before its batch began, it is not computed."""
        one: _Waiting[Item, Result] = _Waiting(item, asyncio.get_running_loop().create_future())
        self._waiting.append(one)
        if len(self._waiting) >= self._most:
            self._full.set()
        if self._task is None:
            self._task = asyncio.create_task(self._drain())
        return await one.answer

    async def _drain(self) -> None:
        while self._waiting:
            await self._gather()
            first = [self._waiting.popleft() for _ in range(min(self._most, len(self._waiting)))]
            if len(self._waiting) < self._most:
                self._full.clear()
            if batch := [one for one in first if not one.answer.done()]:
                await self._answer(batch)
        self._task = None

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
            made = await asyncio.to_thread(self._compute, [one.item for one in batch])
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
