"""The check of a ranking: there is a column to rank by."""

from dataclasses import replace

from medray.steps.base.facts import Data
from medray.steps.base.view import View
from medray.steps.rank.operation import RANK
from medray.steps.rank.spec import RankSpec
from medray.storage.shards.holds import Needs, names


def check(view: View, spec: RankSpec) -> None:
    """See medray.steps.base.step.Step."""
    data = view.data("data", spec.data)
    with view.at("by"):
        Needs(columns=names(spec.by)).check(data.holds)
    columns = None if data.holds.columns is None else data.holds.columns | {RANK}
    view.makes(
        "output",
        spec.output,
        Data(spec.kind, replace(data.holds, arrays=names(), columns=columns), data=data.data),
    )
