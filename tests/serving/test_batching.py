"""Batches of requests: who goes with whom, who fails, and who need not be computed."""

import asyncio
import threading

import pytest

from medray.serving.batching import Batcher


class Device:
    """Doubles numbers when it is let to; 13 breaks it."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.free = threading.Event()
        self.free.set()

    async def compute(self, items: list[int]) -> list[int]:
        return await asyncio.to_thread(self._compute, items)

    def _compute(self, items: list[int]) -> list[int]:
        self.batches.append(items)
        assert self.free.wait(10)
        if 13 in items:
            raise ValueError("13")
        return [2 * item for item in items]


def test_what_comes_while_one_computes_goes_together_and_no_more_than_fits() -> None:
    device = Device()

    async def ask() -> list[int]:
        together = Batcher(device.compute, 3, 0.0)
        device.free.clear()
        asked = [asyncio.create_task(together(0))]
        while not device.batches:
            await asyncio.sleep(0.001)
        asked += [asyncio.create_task(together(n)) for n in range(1, 6)]
        await asyncio.sleep(0.05)
        device.free.set()
        return await asyncio.gather(*asked)

    assert asyncio.run(ask()) == [0, 2, 4, 6, 8, 10]
    assert device.batches == [[0], [1, 2, 3], [4, 5]]


def test_an_idle_device_waits_for_a_batch_to_fill_and_not_once_it_has() -> None:
    device = Device()

    async def ask() -> float:
        together = Batcher(device.compute, 2, 30.0)
        began = asyncio.get_running_loop().time()
        late = asyncio.create_task(together(1))
        await asyncio.sleep(0.02)
        await together(2)
        await late
        return asyncio.get_running_loop().time() - began

    assert asyncio.run(ask()) < 10
    assert device.batches == [[1, 2]]

    async def alone() -> float:
        together = Batcher(device.compute, 2, 0.05)
        began = asyncio.get_running_loop().time()
        await together(3)
        return asyncio.get_running_loop().time() - began

    assert asyncio.run(alone()) >= 0.05


def test_an_error_goes_to_whom_it_concerns_and_the_next_are_answered() -> None:
    device = Device()

    async def ask() -> list[int | BaseException]:
        together = Batcher(device.compute, 3, 0.05)
        found = await asyncio.gather(together(1), together(13), together(2), return_exceptions=True)
        return [*found, await together(4)]

    first, broken, third, later = asyncio.run(ask())
    assert (first, third, later) == (2, 4, 8)
    assert isinstance(broken, ValueError)


def test_who_has_gone_is_not_computed() -> None:
    device = Device()

    async def ask() -> int:
        together = Batcher(device.compute, 2, 0.2)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await together(1)
        return await together(2)

    assert asyncio.run(ask()) == 4
    assert device.batches == [[2]]


def test_who_has_waited_elsewhere_is_computed_at_once() -> None:
    device = Device()

    async def ask() -> list[int]:
        together = Batcher(device.compute, 8, 30.0)
        return await asyncio.gather(*(together(n, gathered=True) for n in (1, 2)))

    assert asyncio.run(asyncio.wait_for(ask(), 10)) == [2, 4]
    assert device.batches == [[1, 2]]


def test_what_has_come_is_shared_out_to_idle_devices_and_no_more_is_under_way() -> None:
    device = Device()
    device.free.clear()

    async def ask() -> list[int]:
        together = Batcher(device.compute, 4, 0.05, devices=lambda: 2, ahead=2)
        asked = [asyncio.create_task(together(n)) for n in range(20, 26)]
        while len(device.batches) < 2:
            await asyncio.sleep(0.001)
        asked += [asyncio.create_task(together(n)) for n in range(26, 36)]
        while len(device.batches) < 4:
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.1)
        assert device.batches == [[20, 21, 22], [23, 24, 25], [26, 27, 28, 29], [30, 31, 32, 33]]
        device.free.set()
        return await asyncio.gather(*asked)

    assert asyncio.run(ask()) == [2 * n for n in range(20, 36)]
    assert sorted(number for batch in device.batches[4:] for number in batch) == [34, 35]
