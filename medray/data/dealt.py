"""An order whose batches hold samples that are alike, in length or in what they share."""

from dataclasses import dataclass, field

import numpy as np

from medray.data.order import Draw, Order, seed_of, share


@dataclass(frozen=True)
class Dealt(Order):
    """An order whose batches hold samples that are alike in a number.

    The samples of `window` steps on end are dealt out to these steps by that number, and the steps
    shuffled: a pure function of seed and step, as the order is. Of the window in which a pass ends
    some are seen a few steps later than the order has them.

    Args:
        by: a number of each sample.
        window: steps.
    """

    by: np.ndarray = field(compare=False)
    window: int

    def draw(self, position: int) -> Draw:
        """See Order."""
        window, place = divmod(position, self.window * self.batch)
        dealt = self._window(window)[2]
        return super().draw(window * self.window * self.batch + int(dealt[place]))

    def slice_at(
        self, step: int, rank: int, size: int, steps: int = 1
    ) -> tuple[np.ndarray, np.ndarray]:
        """See Order."""
        first, last = step // self.window, (step + steps - 1) // self.window
        found = [self._window(window)[:2] for window in range(first, last + 1)]
        some = slice(step - first * self.window, step - first * self.window + steps)
        part = share(self.batch, rank, size)
        samples, seeds = (
            np.concatenate(one).reshape(-1, self.batch)[some, part].ravel()
            for one in zip(*found, strict=True)
        )
        return samples, seeds

    def _window(self, window: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Samples and seeds in the order in which they are drawn, and their places before."""
        samples, seeds = super().slice_at(window * self.window, 0, 1, self.window)
        steps = self.by[samples].argsort(kind="stable").reshape(self.window, self.batch)
        key = seed_of(self.seed, window, self.window)
        generator = np.random.Generator(np.random.Philox(key=key))
        dealt = steps[generator.permutation(self.window)].ravel()
        return samples[dealt], seeds[dealt], dealt
