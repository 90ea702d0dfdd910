"""Discrete hazards: in each interval of time what is the chance of an event, if none was before.

The loss is the likelihood of Gensheimer & Narasimhan (2019), for several causes that of a softmax
over them and over surviving the interval (Tutz & Schmid 2016, ch. 8); it is a sum over samples.
"""

import numpy as np
import torch
from torch import Tensor

from medray.tasks.metrics.survival.curves import between
from medray.tasks.metrics.survival.estimators import kaplan_meier


def cuts_of(time: np.ndarray, event: np.ndarray, intervals: int, by: str) -> list[float]:
    """Ends of intervals, rising, above 0; fewer than asked for where few times are distinct.

    Args:
        time: (samples,), of the event or of the end of watching.
        event: (samples,), 0 where none was seen; one is seen at least.
        intervals: how many at most.
        by: "events", each with as many events; or "survival", in each of which the Kaplan-Meier
            estimate falls as far (Kvamme & Borgan 2021).
    """
    seen = event != 0
    shares = np.arange(1, intervals + 1) / intervals
    if by == "survival":
        curve = kaplan_meier(time, event)
        fallen = 1 - curve.values
        wanted = np.searchsorted(fallen, shares * fallen[-1] * (1 - 1e-9))
        chosen = curve.times[wanted]
    else:
        chosen = np.quantile(time[seen], shares, method="inverted_cdf")
    found = np.unique(chosen)
    return [float(one) for one in found[found > 0]]


def of_everybody(time: np.ndarray, event: np.ndarray, cuts: np.ndarray, causes: int) -> np.ndarray:
    """Log odds of each cause against surviving each interval, of all samples alike, (causes, cuts).

    Half an event, and half a survivor, are added to each, so that none is certain.

    Args:
        time: (samples,), of the event or of the end of watching.
        event: (samples,), number of the cause from 1, 0 where none was seen.
        cuts: ends of the intervals, rising.
        causes: of events.
    """
    middles = (np.concatenate([[0.0], cuts[:-1]]) + cuts) / 2
    last = np.searchsorted(cuts, time)
    survived = np.where(event > 0, last, np.searchsorted(middles, time, side="right"))
    surviving = (survived[:, None] > np.arange(len(cuts))).sum(0)
    events = [
        np.bincount(last[event == cause], minlength=len(cuts))[: len(cuts)]
        for cause in range(1, causes + 1)
    ]
    made: np.ndarray = np.log(np.stack(events) + 0.5) - np.log(surviving + 0.5)
    return made


class Hazards:
    """Intervals of time, and what logits say of them.

    Logits are beside those of all training samples alike: zeros tell everybody their curve.

    Args:
        cuts: ends of the intervals, rising.
        everybody: log odds of each cause in each interval, (causes, cuts).
        times: when answers are told.
    """

    def __init__(self, cuts: np.ndarray, everybody: np.ndarray, times: np.ndarray) -> None:
        self.causes = len(everybody)
        self._everybody = torch.tensor(everybody, dtype=torch.float32)
        begins = np.concatenate([[0.0], cuts[:-1]])
        self._cuts = torch.tensor(cuts, dtype=torch.float32)
        self._middles = torch.tensor((begins + cuts) / 2, dtype=torch.float32)
        self._told = torch.tensor(between(cuts, times)[1:], dtype=torch.float32)

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """Negative log likelihood of each sample, (B,).

        An event lies in the interval that its time is in. Who was watched for half of an interval
        or more survived it; so did whoever had the event after the last one.

        Args:
            logits: (B, causes * outputs), outputs at least as many as intervals.
            target: (B, 2): time, and the number of the cause, or 0.
        """
        hazards = self._of(logits)
        time, cause = target[:, 0].contiguous(), target[:, 1].long()
        surviving = self._surviving(hazards)
        count = surviving.shape[1]
        cuts, middles = self._cuts.to(time.device), self._middles.to(time.device)
        last = torch.searchsorted(cuts, time)
        seen = (cause > 0) & (last < count)
        survived = torch.where(cause > 0, last, torch.searchsorted(middles, time, right=True))
        place = torch.arange(count, device=time.device)
        before = (surviving * (place < survived[:, None])).sum(1)
        own = (cause.clamp(min=1) - 1) * count + last.clamp(max=count - 1)
        risk = hazards.flatten(1).gather(1, own[:, None])[:, 0]
        at_event = surviving.gather(1, last.clamp(max=count - 1)[:, None])[:, 0] - risk
        loss: Tensor = before + torch.where(seen, at_event, 0.0)
        return loss

    def incidence(self, logits: Tensor) -> Tensor:
        """Cumulative incidence of each cause at `times`, (B, causes * times)."""
        hazards = self._of(logits)
        surviving = self._surviving(hazards)
        before = torch.exp(surviving - surviving.cumsum(1))
        steps = before[:, None] * torch.exp(hazards - surviving[:, None])
        told: Tensor = steps.cumsum(2) @ self._told.to(logits.device)
        return told.flatten(1)

    def _of(self, logits: Tensor) -> Tensor:
        """(B, causes, intervals) of those outputs that stand for an interval."""
        each = logits.float().reshape(len(logits), self.causes, -1)
        told: Tensor = each[:, :, : len(self._cuts)] + self._everybody.to(logits.device)
        return told

    @staticmethod
    def _surviving(hazards: Tensor) -> Tensor:
        """Minus the log chance of surviving each interval, (B, intervals)."""
        none = torch.zeros_like(hazards[:, :1])
        surviving: Tensor = torch.cat([none, hazards], 1).logsumexp(1)
        return surviving
