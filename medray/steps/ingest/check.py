"""The check of an ingest: its format, its source, and what the split adds."""

from dataclasses import replace

from medray.errors import SpecError
from medray.formats.base import Format, WriteOnly
from medray.steps.base.facts import Data
from medray.steps.base.sources import check_named, look_at_source
from medray.steps.base.view import View
from medray.steps.ingest.spec import LEFT_OUT, IngestSpec
from medray.storage.shards.holds import Holds, names


def check(view: View, spec: IngestSpec) -> None:
    """The format can read, and the source and what its options name are there."""
    made = view.format(spec.format)
    holds = Holds()
    if isinstance(made, WriteOnly):
        error = made.unread()
        view.add("format.name", error.code, error.message, error.hint)
    else:
        if made is not None:
            holds = made.holds()
            with view.at("format"):
                if not view.elsewhere:
                    made.ready()
        if not view.elsewhere:
            with view.at("source"):
                if look_at_source(view, spec.source) and made is not None:
                    _look_at_named(view, made, spec.source)
    view.makes("output", spec.output, Data(spec.kind, _divided(view, spec, holds)))


def _look_at_named(view: View, made: Format, source: str) -> None:
    try:
        check_named(made, source, view.objects)
    except SpecError as error:
        view.add("format", error.code, f"{error.message}: {error.about}", error.hint)


def _divided(view: View, spec: IngestSpec, holds: Holds) -> Holds:
    """What a split adds to what a format makes."""
    split = spec.split
    if split is None:
        return holds
    if split.column is not None and holds.columns is not None:
        with view.at("split.column"):
            holds.check_where({split.column: ""})
    for column in split.columns:
        if column != "sample" and holds.without(column):
            hint = f"columns: {', '.join(sorted(holds.columns or ()))}"
            view.add(
                "split.by", "no-such-column", f"there is no column {column!r} to divide by", hint
            )
    more = names(
        "split" if split.column or split.fractions else None, "fold" if split.folds else None
    )
    drawn = names(name for name, share in split.fractions.items() if share > 0)
    drawn |= names(LEFT_OUT if drawn and len(split.columns) > 1 else None)
    return replace(
        holds,
        columns=None if holds.columns is None else holds.columns | more,
        lacks=holds.lacks - more,
        splits=drawn or holds.splits,
    )
