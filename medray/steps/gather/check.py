"""The check of a gathering: the data are parts of subjects."""

from dataclasses import replace

from medray.formats.events.columns import EVENT_ARRAYS
from medray.steps.base.facts import Data
from medray.steps.base.view import View
from medray.steps.gather.spec import GatherSpec
from medray.storage.shards.holds import Needs, names

PARTS = Needs(
    (names("time"), names("code")),
    names("subject", "order"),
    hint="gather what a format of records reads: ehr, fhir or meds",
    code="no-events",
)


def check(view: View, spec: GatherSpec) -> None:
    """See medray.steps.base.step.Step."""
    data = view.data("data", spec.data)
    with view.at("data"):
        PARTS.check(data.holds)
    columns = data.holds.columns
    kept = None if columns is None else columns & names("subject", "split", "fold")
    holds = replace(
        data.holds,
        arrays=names(EVENT_ARRAYS),
        columns=None if kept is None else kept | names("events"),
    )
    view.makes("output", spec.output, Data(spec.kind, holds))
