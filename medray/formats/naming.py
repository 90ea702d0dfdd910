"""Ids of samples that files of a source give: each is one sample's."""

from collections.abc import Callable, Iterable, Iterator

from medray.errors import DataError
from medray.formats.base import Input
from medray.ids import Distinct
from medray.storage.shards.records import Refusal


class Apart:
    """Names of files whose samples are named by them: rows of `a/b.csv` are `a_b-0000001`, …"""

    def __init__(self) -> None:
        self._seen = Distinct()

    def require(self, name: str) -> None:
        """That no file before gave its samples the same ids.

        Args:
            name: of the file as ids begin with it, slashes or not.

        Raises:
            DataError: one did (code "duplicate-id").
        """
        if not self._seen.add(name.replace("/", "_")):
            raise DataError(
                "another file of the source gives its samples the same ids",
                code="duplicate-id",
                hint="rename it: ids are made of paths without endings, with _ for /; or name a "
                "column of ids, where the format takes one",
            )


def unique(
    items: Iterable[Input], refused: list[Refusal], about: Callable[[Input], str] = lambda i: i.key
) -> Iterator[Input]:
    """The inputs with each sample id, a key without slashes, once; later ones go to `refused`
    (code "duplicate-id"), named as `about` has it."""
    seen = Distinct()
    for one in items:
        if seen.add(one.key.replace("/", "_")):
            yield one
        else:
            reason = "another file of the source gives the same sample id"
            refused.append(Refusal(about(one), "duplicate-id", reason, files=len(one.paths)))
