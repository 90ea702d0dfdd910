"""Units travel to other processes whole, whatever their payload is packed as."""

import weakref
from array import array
from collections.abc import Iterator

from medray.engine.units.operation import Unit
from medray.formats.base import Input
from medray.formats.packed import grouped, pack, unpack


def test_a_unit_travels_as_text() -> None:
    items = [Input(f"k{n}", (f"a/{n}.nii", "b"), f"f{n}", 2**40 + n, {"x": [n]}) for n in range(3)]
    unit = Unit("u0", 4, ("k0", "k1", "k2"), pack(items).payload)
    there = Unit.of_text(unit.as_text())
    assert there == unit
    assert isinstance(there.payload["bytes"], array)
    assert list(unpack(there.payload).values()) == items
    plain = Unit("u1", 0, ("s",), {"shard": ["p", 3], "rows": [0], "paired": [None, ["q", 1]]})
    assert Unit.of_text(plain.as_text()) == plain


def test_inputs_are_packed_as_they_come_and_are_what_they_were() -> None:
    class Extra(dict[str, object]):
        """Can be watched."""

    alive: weakref.WeakSet[Extra] = weakref.WeakSet()
    most = 0

    def made(number: int) -> Input:
        extra = Extra(name="J\u00fcrgen", at=[number, None, 0.5])
        alive.add(extra)
        return Input(f"k{number}", (f"\u00e4/{number}.nii",), f"{number}:7", number, extra, number)

    Extra.__hash__ = object.__hash__  # type: ignore[assignment]

    def come() -> Iterator[Input]:
        nonlocal most
        for number in range(1000):
            most = max(most, len(alive))
            yield made(number)

    groups = grouped(come(), samples=8)
    assert most <= 2 * 8 + 2
    assert max(map(len, groups)) <= 16
    assert [item for group in groups for item in group] == [made(n) for n in range(1000)]
    assert [key for group in groups for key in group.keys] == [f"k{n}" for n in range(1000)]
    again = [pack([*group]) for group in groups]
    assert again == groups
    assert [pack(group) for group in groups] == groups
