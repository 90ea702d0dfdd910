"""How several answer together: networks of one model, of folds or of seeds, or of two in a row;
and a network and baselines."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from medray.models.base import Network
    from medray.tasks.base import Task


class Several:
    """The part of a modality that says so. By default answers are averaged once they are made."""

    def averages(self, answers: str) -> bool:
        """Whether several networks that answer so can be asked together, for their mean."""
        return True

    def plans_together(self, answers: str) -> bool:
        """Whether networks of folds that answer so have one plan, of the samples of all folds, as
        in nnU-Net; else each is planned by what it learns from."""
        return False

    def united(
        self, networks: "Sequence[Network]", plans: Sequence[Any], task: "Task"
    ) -> "Network | None":
        """One network in the place of several, for their mean where answers are too large to be
        averaged when they are made; None: answers are averaged.

        Args:
            networks: in eval mode.
            plans: of each.
            task: of the mean.

        Raises:
            SpecError: these have no mean.
        """
        return None

    def blends(self, plan: Any) -> tuple[str, ...]:
        """Baselines that answer with the network: its predictor gives the mean of all."""
        return ()

    def guided_by(self, plan: dict[str, Any]) -> tuple[str, ...]:
        """Classes of the masks by another model that a model with this plan takes beside each
        sample; none: it takes none."""
        return ()

    def cascaded(self, fine: Any, coarse: Any) -> Any:
        """Predictors of a guided model and of the one whose masks guide it, as one of samples
        alone."""
        raise NotImplementedError
