"""Arrow's functions by their names: of those that a run with nothing to do calls, too.

`pyarrow.compute`, which methods such as `take` and `cast` load as well, writes a Python function
with documentation for each of 280: 80 ms of the 600 ms that such a run takes.
"""

from typing import Any

import pyarrow as pa
from pyarrow._compute import CastOptions, MatchSubstringOptions, call_function


def call(name: str, *values: Any) -> Any:
    """What the function called `name` makes of values, with its default options."""
    return call_function(name, list(values))


def cast(values: Any, kind: pa.DataType) -> Any:
    """Values as another type, each of which must fit."""
    return call_function("cast", [values], CastOptions.safe(kind))


def matches(name: str, texts: Any, pattern: str) -> Any:
    """Which texts match a pattern, by a function such as "starts_with"."""
    return call_function(name, [texts], MatchSubstringOptions(pattern))
