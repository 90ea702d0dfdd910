"""The order of samples: a pure function of a seed and a position, for any number of workers.

Training reads one endless stream: pass after pass over all samples, each pass in an order of its
own. A global batch is the next `batch` positions of the stream; a rank takes its slice of every
global batch. So which samples make a step does not depend on the world size, no sample is dropped,
and a run resumes from one integer, its step.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from medray.errors import SpecError


@dataclass(frozen=True)
class Draw:
    """One position of the stream.

    Args:
        position: in the stream.
        epoch: pass over the samples, from 0.
        sample: position of the sample among the training samples.
        seed: of all randomness about this position: patch, oversampling, augmentation.
    """

    position: int
    epoch: int
    sample: int
    seed: int


@dataclass(frozen=True)
class Order:
    """The stream of samples and its cut into global batches.

    Args:
        samples: how many there are.
        batch: size of a global batch, over all ranks.
        seed: of the order.
    """

    samples: int
    batch: int
    seed: int

    def __post_init__(self) -> None:
        if self.samples < 1 or self.batch < 1:
            raise SpecError(
                f"cannot order {self.samples} samples in batches of {self.batch}",
                code="no-samples",
                hint="select a split that has samples",
            )

    @property
    def steps_per_pass(self) -> int:
        """Steps after which every sample was seen at least once more."""
        return -(-self.samples // self.batch)

    def draw(self, position: int) -> Draw:
        """What stands at a position of the stream."""
        epoch, place = divmod(position, self.samples)
        sample = int(permutation(self.seed, epoch, self.samples)[place])
        return Draw(position, epoch, sample, seed_of(self.seed, epoch, place))

    def batch_at(self, step: int) -> list[Draw]:
        """The global batch of a step."""
        return [self.draw(step * self.batch + slot) for slot in range(self.batch)]

    def share_at(self, step: int, rank: int, size: int) -> list[Draw]:
        """A rank's slice of the global batch of a step."""
        return self.batch_at(step)[share(self.batch, rank, size)]

    def slice_at(
        self, step: int, rank: int, size: int, steps: int = 1
    ) -> tuple[np.ndarray, np.ndarray]:
        """As `share_at` for what is drawn by the thousand: samples int64 and seeds uint64.

        Of several steps the slices follow one another. Seeds are of a family of their own, mixed by
        splitmix64 (Steele et al. 2014).
        """
        part = share(self.batch, rank, size)
        firsts = (step + np.arange(steps)) * self.batch
        positions = (firsts[:, None] + np.arange(part.start, part.stop)).ravel()
        passes = range(positions[0] // self.samples, positions[-1] // self.samples + 1)
        parts = np.split(positions, positions.searchsorted([n * self.samples for n in passes[1:]]))
        samples = np.concatenate(
            [
                permutation(self.seed, epoch, self.samples)[part - epoch * self.samples]
                for epoch, part in zip(passes, parts, strict=True)
            ]
        )
        return samples, mixed(positions.astype(np.uint64) + np.uint64(seed_of(self.seed)))

    def batches(self, rank: int, size: int, step: int = 0) -> Iterator[list[Draw]]:
        """A rank's slices from `step` on, without end."""
        while True:
            yield self.share_at(step, rank, size)
            step += 1


def share(count: int, rank: int, size: int) -> slice:
    """The consecutive part of `count` things that is a rank's; sizes differ by 1 at most.

    Raises:
        SpecError: there are fewer things than ranks (code "batch-too-small").
    """
    if count < size:
        raise SpecError(
            f"{count} samples a step cannot be shared by {size} ranks",
            code="batch-too-small",
            hint="a larger batch_size, or fewer workers",
        )
    return slice(rank * count // size, (rank + 1) * count // size)


@lru_cache(maxsize=4)
def permutation(seed: int, epoch: int, samples: int) -> np.ndarray:
    """Order of one pass: Philox keyed by seed and epoch, so it does not hang on earlier passes."""
    generator = np.random.Generator(np.random.Philox(key=seed_of(seed, epoch)))
    return generator.permutation(samples)


def mixed(numbers: np.ndarray) -> np.ndarray:
    """Unrelated 64-bit numbers of neighbouring ones."""
    mixed = numbers * np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def seed_of(*parts: int) -> int:
    """A seed of 63 bits made of numbers; near numbers give unrelated seeds."""
    raw = hashlib.blake2b(repr(parts).encode(), digest_size=8).digest()
    return int.from_bytes(raw, "big") >> 1
