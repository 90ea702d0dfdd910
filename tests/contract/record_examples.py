"""Small sources of records, as `format_examples` has them of other formats."""

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from medray.storage.shards.samples import Sample

MAPPING: dict[str, Any] = {
    "tables": {
        "stays": {
            "subject": "person",
            "key": "stay",
            "events": [
                {"code": "IN//{ward}", "time": "came"},
                {"code": "OUT", "time": "left"},
            ],
        },
        "labs": {
            "subject": "stays.person",
            "join": {"stays": "stay"},
            "events": [
                {
                    "code": "LAB//{name}",
                    "time": {"column": "minutes", "unit": "minute", "since": "stays.came"},
                    "available": {"column": "revised", "unit": "minute", "since": "stays.came"},
                    "number": "result",
                    "unit": "{unit}",
                }
            ],
        },
    }
}


def records(root: Path) -> dict[str, Any]:
    stays = ["stay,person,ward,came,left", *(
        f"{n},p{n // 2},w{n % 3},2020-01-{n + 1:02d} 08:00,2020-01-{n + 2:02d}" for n in range(8)
    )]  # fmt: skip
    labs = ["stay,name,minutes,revised,result,unit", *(
        f"{n % 8},na,{n * 7},{n * 7 + 30},{130 + n % 9},mmol/L" for n in range(40)
    )]  # fmt: skip
    for name, lines in (("labs", labs), ("stays", stays)):
        (root / f"{name}.csv.gz").write_bytes(gzip.compress("\n".join(lines).encode(), mtime=0))
    return {"mapping": MAPPING, "deidentify": {"method": "none"}}


def resources(patient: str) -> list[dict[str, Any]]:
    """A patient, an encounter and two results of it."""
    subject = {"reference": f"Patient/{patient}"}
    of = {"status": "final", "subject": subject}
    loinc = {"coding": [{"system": "http://loinc.org", "code": "2951-2"}]}
    return [
        {"resourceType": "Patient", "id": patient, "gender": "female", "birthDate": "1950-02-03"},
        {
            "resourceType": "Encounter", "id": f"{patient}-e", "status": "finished",
            "class": {"code": "IMP"}, "subject": subject,
            "period": {"start": "2020-01-01T08:00:00Z", "end": "2020-01-05T10:00:00Z"},
        },
        {
            "resourceType": "Observation", "id": f"{patient}-o1", **of, "code": loinc,
            "effectiveDateTime": "2020-01-01T09:00:00+01:00", "issued": "2020-01-01T09:30:00Z",
            "valueQuantity": {"value": 140.1, "unit": "mmol/L"},
        },
        {
            "resourceType": "Observation", "id": f"{patient}-o2", **of, "code": loinc,
            "effectiveDateTime": "2020-01-02", "valueQuantity": {"value": 3, "comparator": "<"},
        },
        {"resourceType": "Coverage", "id": f"{patient}-c", "beneficiary": subject},
    ]  # fmt: skip


def fhir(root: Path) -> dict[str, Any]:
    bundle = {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [{"fullUrl": f"urn:{n}", "resource": one} for n, one in enumerate(resources("a"))],
    }
    (root / "a.json").write_text(json.dumps(bundle))
    (root / "b.ndjson").write_text("".join(f"{json.dumps(one)}\n" for one in resources("b")))
    (root / "c.ndjson.gz").write_bytes(
        gzip.compress("\n".join(map(json.dumps, resources("c"))).encode(), mtime=0)
    )
    return {"deidentify": {"method": "none"}}


def meds(root: Path) -> dict[str, Any]:
    """Two files, one of which says when results were known."""
    (root / "data").mkdir()
    for number in range(2):
        rows = 30
        table = {
            "subject_id": pa.array([number * 10 + n // 10 for n in range(rows)], pa.int64()),
            "time": pa.array([None, *(n * 10**9 for n in range(rows - 1))], pa.timestamp("us")),
            "code": pa.array([f"LAB//{n % 4}" for n in range(rows)], pa.string()),
            "numeric_value": pa.array([n / 2 for n in range(rows)], pa.float32()),
        }
        if number:
            table["available_at"] = pa.array(
                [n * 10**9 + 7 for n in range(rows)], pa.timestamp("us")
            )
        pq.write_table(pa.table(table), root / f"data/{number}.parquet")
    return {"deidentify": {"method": "none"}}


RECORDS = {"ehr": records, "fhir": fhir, "meds": meds}


def subject(sample_id: str = "case") -> Sample:
    """Somebody with two events."""
    arrays = {
        "time": np.array([np.iinfo(np.int64).min, 5], np.int64),
        "available_at": np.array([np.iinfo(np.int64).min, 9], np.int64),
        "numeric_value": np.array([np.nan, 16777217.0]),
        "origin": np.zeros(2, np.int16),
        "row": np.arange(2),
        "code": np.frombuffer("SEX//f\0LAB//µ\0".encode(), np.uint8),
        "unit": np.frombuffer(b"\0mg\0", np.uint8),
        "number": np.frombuffer(b"\00016777217\0", np.uint8),
        "words": np.frombuffer(b"\0\0", np.uint8),
    }
    return Sample(sample_id, {"subject": sample_id, "events": 2}, dict(arrays))
