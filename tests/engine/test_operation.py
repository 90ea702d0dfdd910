"""Units travel to other processes whole, whatever their payload is packed as."""

from array import array

from medray.engine.operation import Unit
from medray.formats.base import Input
from medray.formats.packed import pack, unpack


def test_a_unit_travels_as_text() -> None:
    items = [Input(f"k{n}", (f"a/{n}.nii", "b"), f"f{n}", 2**40 + n, {"x": [n]}) for n in range(3)]
    unit = Unit("u0", 4, ("k0", "k1", "k2"), pack(items)[1])
    there = Unit.of_text(unit.as_text())
    assert there == unit
    assert isinstance(there.payload["bytes"], array)
    assert list(unpack(there.payload).values()) == items
    plain = Unit("u1", 0, ("s",), {"shard": ["p", 3], "rows": [0], "paired": [None, ["q", 1]]})
    assert Unit.of_text(plain.as_text()) == plain
