"""Predictions as FHIR R4 RiskAssessment."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from medray.errors import SpecError
from medray.formats.files import replacing
from medray.formats.joined import Piece


def write_risks(
    pieces: Sequence[Piece], path: Path, about: Mapping[str, Any], outcome: str
) -> None:
    """One file with a RiskAssessment for each prediction, a line each, in order.

    Args:
        pieces: of predictions: `subject`, `probability`, and `prediction_time` where it is known.
        path: of the file.
        about: `model` and `task` of the predictions.
        outcome: what is predicted; empty: the classes by their names.

    Raises:
        SpecError: they are no probabilities of classes (code "no-probabilities").
    """
    classes = (about.get("task") or {}).get("classes") or []
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        for piece in pieces:
            for row in piece.rows().to_pylist():
                line = json.dumps(_risk(row, about, classes, outcome), ensure_ascii=False)
                file.write(f"{line}\n")


def _risk(
    row: Mapping[str, Any], about: Mapping[str, Any], classes: Sequence[str], outcome: str
) -> dict[str, Any]:
    found = row.get("probability")
    if found is None or len(found) != len(classes):
        raise SpecError(
            "the samples have no probabilities of classes",
            code="no-probabilities",
            hint="export the predictions of a classification",
        )
    told = list(zip(classes, found, strict=True))
    if outcome:  # of two classes the second is what is asked
        told = [(outcome, found[-1])] if len(classes) == 2 else told
    made: dict[str, Any] = {
        "resourceType": "RiskAssessment",
        "id": hashlib.sha256(row["sample_id"].encode()).hexdigest()[:32],
        "status": "final",
        "subject": {"reference": f"Patient/{row['subject']}"},
        "method": {"text": str(about.get("model", ""))},
        "prediction": [
            {"outcome": {"text": name}, "probabilityDecimal": round(float(share), 6)}
            for name, share in told
        ],
    }
    if row.get("prediction_time"):
        # FHIR has no time without an offset; one that records don't tell is taken as UTC.
        made["occurrenceDateTime"] = f"{row['prediction_time']}Z"
    return made
