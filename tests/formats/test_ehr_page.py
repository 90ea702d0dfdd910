"""What docs/records.md says of mappings is so: its example is read as it stands there."""

import re
from pathlib import Path
from typing import Any

import yaml

from medray.formats.ehr.mapping import EventRule, TableRule, When
from tests.events import Read

PAGE = (Path(__file__).parents[2] / "docs/records.md").read_text()
PART = PAGE.partition("## A mapping in ten minutes")[2].partition("\n## ")[0]


def blocks(kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", PART, re.DOTALL)


def test_the_example_of_the_page_is_read(tmp_path: Path) -> None:
    tables, (mapping,) = blocks("")[0].split("\n\n"), blocks("yaml")
    for name, text in zip(("patient", "lab"), tables, strict=True):
        (tmp_path / f"{name}.csv").write_text(text.strip() + "\n")
    (tmp_path / "vendor.yaml").write_text(mapping)
    found = Read("ehr", tmp_path, mapping="vendor.yaml", deidentify={"method": "none"})
    ((who, events),) = found.events.items()
    assert who == "0017"
    # 90 years of 365.25 days: half a day less than there are from 1924 to 2014.
    assert [(e["code"], e["time"], e["available_at"], e["value"], e["unit"]) for e in events] == [
        ("MEDS_BIRTH", "1924-01-01T12:00:00", "1924-01-01T12:00:00", None, ""),
        ("LAB//sodium", "2014-01-01T01:00:00", "2014-01-01T03:20:00", 141, "mmol/L"),
    ]
    assert found.refused == []


def test_the_page_knows_every_field() -> None:
    told: set[str] = set(re.findall(r"`(\w+)`", PART)) | set(re.findall(r"(\w+):", PART))
    fields: dict[str, Any] = {
        **TableRule.model_fields, **EventRule.model_fields, **When.model_fields
    }  # fmt: skip
    assert set(fields) - told == set()
    assert all(yaml.safe_load(one) for one in blocks("yaml"))
