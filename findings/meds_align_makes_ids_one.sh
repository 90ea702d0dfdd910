#!/usr/bin/env bash
# Tool: meds
# Version: 0.4.1
# Behaviour: aligning a table to the schema makes subjects '0017', '17' and '000017' one subject, without a word
# Seen: three subjects go in, subject_id 17 three times comes out, and validate takes it
# Ids are texts in most hospitals, and zeros in front belong to them. `align` casts them to int64, as the schema asks;
# that two texts have become one number is not looked at.
set -eu
venv="$(mktemp -d)/venv"
python3 -m venv "$venv"
"$venv/bin/pip" -q install meds==0.4.1 flexible_schema==0.1.1 pyarrow==26.0.1
"$venv/bin/python" - <<'PYTHON'
import datetime

import meds
import pyarrow as pa

when = datetime.datetime(2020, 1, 1)
names = ["0017", "17", "000017"]
table = pa.table(
    {
        "subject_id": pa.array(names),
        "time": pa.array([when] * 3, pa.timestamp("us")),
        "code": pa.array(["A", "B", "C"]),
    }
)
aligned = meds.DataSchema.align(table)
meds.DataSchema.validate(aligned)
seen = aligned["subject_id"].to_pylist()
print("seen:", names, "->", seen)
assert seen == [17, 17, 17], "meds has it otherwise now"
PYTHON
