"""Columns of units: made without pandas, told apart by what they say and by nothing else."""

import subprocess
import sys

import pyarrow as pa
import pytest

from medray.storage.catalog.columns import column_of, dump, identity_of, load, schema_of

SCHEMA = schema_of(["unit", "path"], ["rows"])


def table(units: list[str], paths: list[str], rows: list[int]) -> pa.Table:
    columns = zip((units, paths, rows), SCHEMA.types, strict=True)
    return pa.Table.from_arrays([column_of(*one) for one in columns], schema=SCHEMA)


WHOLE = table(["a", "", "größe"], ["x", "y", ""], [1, 2**52, 0])


def test_what_was_dumped_is_loaded() -> None:
    assert WHOLE.to_pylist()[2] == {"unit": "größe", "path": "", "rows": 0}
    for one in (WHOLE, WHOLE.slice(1, 1), WHOLE.slice(0, 0)):
        data = dump(one)
        assert load(pa.py_buffer(data), SCHEMA).equals(one)
        assert dump(one, 3) == data + bytes(3)
    for damage in (b"", dump(WHOLE)[:40], dump(WHOLE.select(["unit", "rows"]))):
        with pytest.raises(ValueError):  # noqa: PT011 - of Arrow, or of the form
            load(pa.py_buffer(damage), SCHEMA)


def test_identity_is_of_what_is_said_and_not_of_how_it_is_cut() -> None:
    known = identity_of(WHOLE)
    cut = pa.concat_tables([WHOLE.slice(0, 1), WHOLE.slice(1)])
    assert {identity_of(one) for one in (cut, load(pa.py_buffer(dump(cut)), SCHEMA))} == {known}
    assert identity_of(pa.concat_tables([WHOLE, WHOLE]).slice(3)) == known
    assert dump(cut) == dump(WHOLE)
    others = [
        table(["a", "g", "röße"], ["x", "y", ""], [1, 2**52, 0]),
        table(["a", "", "größe"], ["x", "", "y"], [1, 2**52, 0]),
        table(["a", "", "größe"], ["x", "y", ""], [1, 2**52, 1]),
        WHOLE.slice(0, 2),
        WHOLE.slice(0, 0),
    ]
    assert len({known, *map(identity_of, others)}) == 6


def test_a_pack_and_a_table_of_units_cost_no_import_of_pandas() -> None:
    code = """
import sys
from medray.storage.catalog.commits import Commits
from medray.storage.catalog.ledger import Commit
from medray.storage.catalog.manifest import SCHEMA, Entries, encode
from medray.storage.shards.records import ShardRecord
record = ShardRecord("p", 1, 1, "", "", "", {"table.parquet": (1, "x")})
commits = Commits.of([Commit(unit, "a", record, 1, []) for unit in "uv"])
data, units = encode(commits.of_units("vu").table)
assert Entries(bytes(data), "").column("unit") == ["v", "u"]
assert "pandas" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)
