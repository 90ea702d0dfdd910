"""Tables: the same columns as text and as ARFF."""

import gzip
from pathlib import Path
from typing import Any


def table(root: Path) -> dict[str, Any]:
    lines = ["id,label,g1,g2,g3", *(f"p{n},{'ab'[n % 2]},{n},,{n * 1.5}" for n in range(20))]
    (root / "t.csv.gz").write_bytes(gzip.compress("\n".join(lines).encode(), mtime=0))
    head = ["@relation t", "@attribute id string", "@attribute label {a,b}"]
    head += [f"@attribute 'g{n}' numeric" for n in (1, 2, 3)]
    rows = [f"'q{n}',{'ab'[n % 2]},{n},?,{n * 1.5}" for n in range(20)]
    text = "\n".join([*head, "% rows", "@data", *rows, ""])
    (root / "u.arff.gz").write_bytes(gzip.compress(text.encode(), mtime=0))
    return {"id": "id", "target": "label", "classes": ["a", "b"]}
