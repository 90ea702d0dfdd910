"""Conclude a gathering: what became of the source's rows, and which codes and units there are."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from medray.formats.events.columns import read_events
from medray.formats.events.parts import UNREAD
from medray.steps.base.resolved import Resolved
from medray.steps.gather.spec import GatherSpec
from medray.storage.catalog.datasets import Dataset, open_dataset
from medray.storage.shards.reader import Shard
from medray.storage.store.objects import Objects

MOST_CODES = 20_000  # that a version names; the rarest are left out
LISTED = 200  # codes with several units, or of no vocabulary
TRAINING = "train"
UNKNOWN = "UNKNOWN//"  # of no vocabulary


def conclude(
    resolved: Resolved[GatherSpec], objects: Objects, shards: Sequence[Shard | None]
) -> dict[str, Any]:
    """See medray.steps.base.step.Step.

    Returns:
        `account`: of each table its rows, events, those whose number is not read, and rows dropped
        and bad by reason, and what is odd about codes and units; `codes`: [code, training
        subjects, events], the commonest first, where of samples without splits all are training
        ones.
    """
    data = open_dataset(objects, resolved.parameters["data"])
    subjects, events, units = _codes(shard for shard in shards if shard)
    several = [(code, dict(found.most_common())) for code, found in units.items() if len(found) > 1]
    unmapped = Counter({code: n for code, n in events.items() if code.startswith(UNKNOWN)})
    by_rank = sorted(events, key=lambda code: (-subjects[code], -events[code], code))
    return {
        "account": {
            "tables": _tables(data),
            "events": sum(events.values()),
            "codes": len(events),
            "units": sorted(several, key=lambda one: (-sum(one[1].values()), one[0]))[:LISTED],
            "several_units": len(several),
            "unmapped": [[code, count] for code, count in unmapped.most_common(LISTED)],
            "unmapped_codes": len(unmapped),
        },
        "codes": [[code, subjects[code], events[code]] for code in by_rank[:MOST_CODES]],
    }


def _codes(
    shards: Iterable[Shard],
) -> tuple[Counter[str], Counter[str], dict[str, Counter[str]]]:
    """Training subjects and events of each code, and events of its units."""
    subjects: Counter[str] = Counter()
    events: Counter[str] = Counter()
    units: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for shard in shards:
        table = shard.table
        columns, lengths = read_events(shard, 0, table.num_rows, ("code", "unit"))
        known = columns["code"].dictionary_encode()
        codes, at = known.dictionary.to_pylist(), _places(known)
        for code, count in zip(codes, np.bincount(at, minlength=len(codes)).tolist(), strict=True):
            events[code] += count
        training = np.ones(table.num_rows, bool)
        if "split" in table.column_names:
            training = np.array([one == TRAINING for one in table["split"].to_pylist()], bool)
        owners = np.repeat(np.arange(table.num_rows), lengths)
        pairs = np.unique(owners[training[owners]] * max(1, len(codes)) + at[training[owners]])
        found = np.bincount(pairs % max(1, len(codes)), minlength=len(codes))
        for code, count in zip(codes, found.tolist(), strict=True):
            subjects[code] += count
        named = columns["unit"].dictionary_encode()
        both, counts = np.unique(np.stack([at, _places(named)]), axis=1, return_counts=True)
        words = named.dictionary.to_pylist()
        for (code, unit), count in zip(both.T.tolist(), counts.tolist(), strict=True):
            if words[unit]:
                units[codes[code]][words[unit]] += count
    return subjects, events, units


def _places(known: pa.DictionaryArray) -> np.ndarray:
    found: np.ndarray = known.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    return found


def _tables(data: Dataset) -> dict[str, Any]:
    """Of each table of the source: rows, events, and rows that made none, by reason."""
    rows: Counter[str] = Counter()
    events: Counter[str] = Counter()
    unread: Counter[str] = Counter()
    dropped: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for number, count in enumerate(data.units.column("rows")):
        told = data.shards.open(number).columns(["told"])["told"].to_pylist() if count else []
        for text in told:
            for name, (read, made, why) in json.loads(text).items():
                unread[name] += why.pop(UNREAD, 0)
                rows[name] += read
                events[name] += made
                dropped[name].update(why)
    bad: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for refused in data.quarantine().to_pylist():
        name, row, _ = refused["sample"].partition(", row ")
        if row:
            rows[name] += 1
            passed = refused["kind"] == "passed-over"
            (dropped if passed else bad)[name][refused["code"]] += 1
    return {
        name: {
            "rows": rows[name],
            "events": events[name],
            "unread": unread[name],
            "dropped": dict(sorted(dropped[name].items())),
            "bad": dict(sorted(bad[name].items())),
        }
        for name in sorted(rows)
    }
