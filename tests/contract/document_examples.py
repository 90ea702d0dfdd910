"""Texts as formats of documents read them."""

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from medray.storage.shards.samples import Sample

PUBLIC = {"phi": {"method": "none"}}


def conll(root: Path) -> dict[str, Any]:
    lines = ["The\tO\n", "lung\tB-Organ\n", "left\tI-Organ\n", ".\tO\n", "\n"]
    (root / "a.tsv").write_text("".join(lines) * 12)
    (root / "b.conll").write_text("-DOCSTART- O\n\n" + "".join(lines) * 3)
    return PUBLIC


def brat(root: Path) -> dict[str, Any]:
    for name in ("a", "b"):
        (root / f"{name}.txt").write_text("Aspirin raises warfarin.\nNothing else.\n" * 3)
        marks = "T1\tDRUG 0 7\tAspirin\nT2\tDRUG 15 23\twarfarin\nR1\tRAISES Arg1:T1 Arg2:T2\n"
        (root / f"{name}.ann").write_text(marks)
    return PUBLIC


def notes(root: Path) -> dict[str, Any]:
    rows = "".join(f'n{n},"seen\nagain {n}",x\n' for n in range(20))
    (root / "a.csv").write_text(f"id,text,label\n{rows}")
    return {**PUBLIC, "id": "id", "columns": ["label"]}


def document_reference(root: Path) -> dict[str, Any]:
    made = [referenced(f"n{n}", f"seen\nagain {n}") for n in range(20)]
    (root / "a.ndjson").write_text("".join(f"{json.dumps(one)}\n" for one in made))
    bundle = {"resourceType": "Bundle", "entry": [{"resource": referenced("x", "once")}]}
    (root / "b.json").write_text(json.dumps(bundle))
    return PUBLIC


def referenced(name: str, text: str, **more: Any) -> dict[str, Any]:
    """A DocumentReference as servers write it."""
    data = base64.b64encode(text.encode()).decode()
    return {
        "resourceType": "DocumentReference", "id": name, "status": "current",
        "subject": {"reference": f"Patient/p{name}"},
        "content": [{"attachment": {"contentType": "text/plain; charset=utf-8", "data": data}}],
        **more,
    }  # fmt: skip


DOCUMENTS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "brat": brat,
    "conll": conll,
    "document_reference": document_reference,
    "notes": notes,
}


def marked(sample_id: str = "case") -> Sample:
    """A text with two spans and what relates them."""
    spans = [
        {"begin": 0, "end": 7, "type": "DRUG", "parts": []},
        {"begin": 15, "end": 23, "type": "DRUG", "parts": []},
    ]
    links = [{"type": "RAISES", "first": 0, "second": 1}]
    return Sample(
        sample_id, {"text": "Aspirin raises warfarin .", "spans": spans, "relations": links}
    )
