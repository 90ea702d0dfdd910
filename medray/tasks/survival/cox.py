"""Proportional hazards: one log risk for each sample, and one curve for all of them."""

import numpy as np
import torch
from torch import Tensor

from medray.tasks.metrics.survival.curves import between


def partial_likelihood(risk: Tensor, target: Tensor) -> Tensor:
    """Negative log partial likelihood of Cox (1972), ties by Breslow (1974), (B,).

    It hangs on all samples of the batch: an event's loss is how unlikely it was to be this
    sample's, among all whose time is not shorter. The mean over the batch is that over its events;
    a batch without events teaches nothing.

    Args:
        risk: (B,), log hazards.
        target: (B, 2): time, and 1 where the event was seen.
    """
    time, event = target[:, 0], target[:, 1]
    among = torch.where(time[None] >= time[:, None], risk[None], -torch.inf).logsumexp(1)
    loss: Tensor = (among - risk) * event * (len(event) / event.sum().clamp(min=1))
    return loss


def breslow(time: np.ndarray, event: np.ndarray, risk: np.ndarray, cuts: np.ndarray) -> np.ndarray:
    """Cumulative hazard of a sample of log risk 0 at `cuts` (Breslow 1974), float64 (cuts,); with
    risks of 0 it is that of Nelson and Aalen.

    Args:
        time: (samples,), of the event or of the end of watching.
        event: (samples,), 0 where none was seen.
        risk: (samples,), log hazards.
        cuts: (cuts,), rising.
    """
    times, place = np.unique(time, return_inverse=True)
    highest = risk.max()
    at_risk = np.bincount(place, weights=np.exp(risk - highest))[::-1].cumsum()[::-1]
    events = np.bincount(place, weights=event != 0, minlength=len(times))
    steps = np.divide(events, at_risk, out=np.zeros(len(times)), where=events > 0)
    whole = np.concatenate([[0.0], np.cumsum(steps)]) * np.exp(-highest)
    made: np.ndarray = whole[np.searchsorted(times, cuts, side="right")]
    return made


class Proportional:
    """One curve for all samples, and how far each of them is from it.

    Args:
        cuts: times where the curve is known, rising.
        hazard: cumulative, of log risk 0, at `cuts`.
        times: when answers are told.
    """

    def __init__(self, cuts: np.ndarray, hazard: np.ndarray, times: np.ndarray) -> None:
        self._cuts, self._hazard = cuts, hazard
        told = np.concatenate([[0.0], hazard]) @ between(cuts, times)
        self._told = torch.tensor(told, dtype=torch.float32)

    def incidence(self, logits: Tensor) -> Tensor:
        """Cumulative incidence at `times`, (B, times)."""
        made: Tensor = -torch.expm1(-self._told.to(logits.device) * logits.float().exp())
        return made

    def risks(self, incidence: np.ndarray) -> np.ndarray:
        """The log risks that made these answers, float64 (B,): by the first time at which there is
        a hazard, when incidences are furthest from 1, where they say nothing more."""
        hazard = self._told.double().numpy()
        first = int(np.argmax(hazard > 0))
        chosen = np.clip(incidence[:, first], np.finfo(np.float32).tiny, 1 - 1e-7)
        made: np.ndarray = np.log(-np.log1p(-chosen)) - np.log(hazard[first])
        return made
