"""Which row a process is at: memory that it shares with whoever asked it."""

SLOTS = 64  # processes at a time
COLUMNS = 3
IDLE = -1


class Marks:
    """Which row a child is at, and before which it stops; both sides see them at once.

    Args:
        shared: int64 (COLUMNS * SLOTS,): rows, where to stop, processes' numbers.
        slot: the child's.
    """

    def __init__(self, shared: "memoryview[int]", slot: int) -> None:
        self._shared, self._slot, self._base = shared, slot, 0

    def start(self, base: int, rows: int) -> None:
        """Rows with the numbers `base` and on come now."""
        self._base, self._shared[self._slot + SLOTS] = base, base + rows

    def begin(self, row: int) -> bool:
        """Say that a row, counted from the base, is begun; False: leave it and all behind it."""
        number = self._base + row
        if number >= self._shared[self._slot + SLOTS]:
            return False
        self._shared[self._slot] = number
        return True

    def rest(self) -> None:
        """Say that no row is under way."""
        self._shared[self._slot] = IDLE

    def own(self, pid: int) -> None:
        """Say which process it is."""
        self._shared[self._slot + 2 * SLOTS] = pid

    @property
    def pid(self) -> int:
        """Of the process; 0 before it has said so."""
        return self._shared[self._slot + 2 * SLOTS]

    @property
    def at(self) -> int:
        """Number of the row that is under way; IDLE: none."""
        return self._shared[self._slot]

    def stop_before(self, number: int) -> None:
        """Have no row begun from this number on."""
        self._shared[self._slot + SLOTS] = number
