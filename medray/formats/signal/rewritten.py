"""The row of a recording whose samples were made anew: other rates, other places."""

from dataclasses import asdict, replace
from typing import Any

from medray.formats.signal.leads import Leads
from medray.formats.signal.recording import placed


def rewritten(row: dict[str, Any], leads: Leads) -> dict[str, Any]:
    """The row of a recording of these leads at their rate.

    Annotations keep their times; their samples are those of the new rate. What holds files as they
    were (columns of bytes) goes: they tell of other samples.

    Args:
        row: of the recording that was.
        leads: of it, at the rate that is wanted.
    """
    channels = placed(replace(one, rate=leads.rate) for one in leads.channels)
    annotations = [
        {**one, "sample": None if one["sample"] is None else leads.count(one["onset_s"])}
        for one in row.get("annotations") or ()
    ]
    segments = [
        {"onset_s": one.onset_s, "duration_s": one.size / leads.rate} for one in leads.stretches
    ]
    kept = {name: value for name, value in row.items() if not isinstance(value, bytes)}
    return {
        **kept,
        "channels": [asdict(one) for one in channels],
        "annotations": annotations,
        "segments": segments if row.get("segments") else [],
    }
