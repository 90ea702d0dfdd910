"""Parts of a network that do not learn, or later than others."""

from collections.abc import Iterable

from torch import nn

from medray.errors import SpecError
from medray.models.base import Network, freeze, parts_of
from medray.spec.training import Frozen


def freeze_for_good(network: Network, chosen: Iterable[Frozen]) -> None:
    """Stop what never learns.

    Raises:
        SpecError: a part is not there (code "unknown-layer"), or nothing would learn at first (code
            "nothing-to-learn").
    """
    chosen = list(chosen)
    freeze(network, [part for one in chosen if one.until is None for part in one.parts])
    named = dict(network.named_parameters())
    waiting = parts_of(named, [part for one in chosen if one.until for part in one.parts])
    later = set[str]().union(*waiting.values())
    if not any(one.requires_grad for name, one in named.items() if name not in later):
        raise SpecError(
            "every parameter is frozen, to begin with at least",
            code="nothing-to-learn",
            hint="freeze fewer parts",
        )


class Thaw:
    """Gradual unfreezing (Howard & Ruder 2018): what learns hangs on the epoch alone, so a training
    resumes as it would have gone on.

    A part has no moments in the optimiser before it learns, and its own count of steps from there.

    Args:
        network: wrapped for its ranks already: what ever learns is known to them.
        chosen: parts, and from when on they learn.
    """

    def __init__(self, network: nn.Module, chosen: Iterable[Frozen]) -> None:
        self._network = network
        named = dict(network.named_parameters())
        learnt = {name: one for name, one in named.items() if one.requires_grad}
        self._first: dict[str, int] = {}
        for one in chosen:
            for names in parts_of(named, one.parts).values():
                for name in names & learnt.keys():
                    self._first[name] = max(one.until or 0, self._first.get(name, 0))
        self._parameters = {name: learnt[name] for name in self._first}
        self._frozen = frozenset[str]()

    def begin(self, epoch: int) -> None:
        """Let parameters learn as they shall in an epoch; batch norms that don't keep still."""
        frozen = frozenset(name for name, first in self._first.items() if epoch < first)
        if frozen == self._frozen:
            return
        self._frozen = frozen
        for name, one in self._parameters.items():
            one.requires_grad_(name not in frozen)
        self._network.train(self._network.training)
