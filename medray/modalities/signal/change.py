"""Signals changed at random, as `SignalAugment` says: the draws are a function of seeds alone."""

import numpy as np

from medray.modalities.signal.augment import SignalAugment
from medray.modalities.signal.chance import normal, uniform
from medray.modalities.signal.inputs import Signals

# Streams of numbers, one for each thing that is drawn.
AMPLITUDE, NOISE, HISS, WANDER, WARP, SHIFT, DROP, COLUMNS = range(8)


def changed(given: Signals, how: SignalAugment, seeds: np.ndarray, rate: float) -> Signals:
    """Scaled signals, changed.

    Args:
        given: of a batch.
        how: by how much.
        seeds: uint64 (B,), of each sample.
        rate: samples a second.
    """
    signal, context, columns = given.signal, given.context, given.columns
    batch, leads, length = signal.shape
    if how.warp or how.shift_s:
        pace = 1 + how.warp * _even(seeds, WARP)
        moved = how.shift_s * rate * _even(seeds, SHIFT)
        signal = _resampled(signal, pace, moved)
        if context is not None and how.warp:
            context = _resampled(context, pace, np.zeros(batch))
    if how.amplitude:
        factor = (1 + how.amplitude * _even(seeds, AMPLITUDE)).astype(np.float32)[:, None, None]
        signal = signal * factor
        context = None if context is None else context * factor
    if how.noise:
        deviation = (how.noise * uniform(seeds, NOISE, 1)).astype(np.float32)[:, :, None]
        hiss = normal(seeds, HISS, leads * length).reshape(signal.shape)
        signal = signal + deviation * hiss
    if how.wander:
        signal = signal + _wander(seeds, how, leads, length, rate)
    if how.lead_drop and leads > 1:
        kept = uniform(seeds, DROP, leads) >= how.lead_drop
        kept[~kept.any(1)] = True
        mask = kept[:, :, None].astype(np.float32)
        signal = signal * mask
        context = None if context is None else context * mask
    if how.columns and columns.shape[1]:
        columns = columns + np.float32(how.columns) * normal(seeds, COLUMNS, columns.shape[1])
    return Signals(signal, context, columns)


def _even(seeds: np.ndarray, stream: int) -> np.ndarray:
    """A number in [-1, 1) for each sample."""
    drawn: np.ndarray = 2 * uniform(seeds, stream, 1)[:, 0] - 1
    return drawn


def _resampled(values: np.ndarray, pace: np.ndarray, moved: np.ndarray) -> np.ndarray:
    """Values at other times: `pace` times as fast around the middle, and `moved` samples later; by
    lines between neighbours, and beyond an end as at the end."""
    length = values.shape[2]
    middle = (length - 1) / 2
    at = middle + (np.arange(length) - middle) * pace[:, None] - moved[:, None]
    at = np.clip(at, 0, length - 1)
    before = np.minimum(at.astype(np.int64), max(0, length - 2))
    share = (at - before).astype(np.float32)[:, None, :]
    low = np.take_along_axis(values, before[:, None, :], 2)
    high = np.take_along_axis(values, np.minimum(before + 1, length - 1)[:, None, :], 2)
    made: np.ndarray = low + share * (high - low)
    return made


def _wander(
    seeds: np.ndarray, how: SignalAugment, leads: int, length: int, rate: float
) -> np.ndarray:
    """A slow sine for each lead: one frequency a sample, amplitude and phase a lead."""
    drawn = uniform(seeds, WANDER, 1 + 2 * leads)
    low, high = how.wander_hz
    hertz = (low + (high - low) * drawn[:, :1])[:, :, None]
    size, phase = (part[:, :, None] for part in np.split(drawn[:, 1:], 2, axis=1))
    turns = hertz * (np.arange(length) / rate) + phase
    made: np.ndarray = (how.wander * size * np.sin(2 * np.pi * turns)).astype(np.float32)
    return made
