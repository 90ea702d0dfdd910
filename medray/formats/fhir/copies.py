"""Resources of one id that a source tells of more than once, as exports of several nights do."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any

from xxhash import xxh3_64_intdigest

from medray.errors import DataError, PassedOver
from medray.formats.base import Input, Source
from medray.formats.fhir.files import piece_of
from medray.formats.fhir.reading import resources, without_collector
from medray.formats.files import open_path

COPY = PassedOver("the same document came before", code="copy")
OTHER = DataError(
    "an earlier document has the same id and says something else",
    code="duplicate-id",
    hint="leave one of both in the source: which of them holds, files do not tell",
)


def mark_again(
    source: Source, inputs: Iterable[Input], identify: Callable[[Mapping[str, Any]], str]
) -> None:
    """Put into each input's `extra["again"]` which of its resources came before, in any file.

    Args:
        source: of the inputs.
        inputs: of `inputs_of`, in order.
        identify: the id of a resource; raises DataError where it is not taken.
    """
    seen = dict[str, int]()
    for one in inputs:
        again = one.extra["again"] = list[list[int | bool]]()
        source.fetch(one.paths[0])
        with suppress(DataError), without_collector():  # what is damaged is said when it is read
            found = resources(open_path(source, one.paths[0]), piece_of(one))
            for number, (resource, _) in enumerate(found, start=1):
                with suppress(DataError):
                    name, told = identify(resource), _content(resource)
                    if name in seen:
                        again.append([number, seen[name] == told])
                    seen.setdefault(name, told)
        source.drop(one.paths[0])


def require_first(again: Mapping[int, bool], number: int) -> None:
    """That a resource did not come before.

    Args:
        again: of `mark_again`, by number.
        number: of the resource in its input, from 1.

    Raises:
        PassedOver: the same came before (code "copy").
        DataError: one of its id came before and says something else ("duplicate-id").
    """
    same = again.get(number)
    if same is not None:
        raise COPY if same else OTHER


def _content(resource: Mapping[str, Any]) -> int:
    import orjson

    return xxh3_64_intdigest(orjson.dumps(resource, option=orjson.OPT_SORT_KEYS))
