"""Every registered format gives each sample an id of its own, whatever files are called."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from medray.errors import DataError, SpecError
from medray.formats.base import Source
from medray.storage.shards.records import Refusal
from medray.storage.shards.rows import Rows
from tests.contract import test_formats as contract


def accounted(form: Any, source: Source) -> tuple[list[str], list[Refusal]]:
    """Ids of all samples of a source, and what was refused."""
    plan = form.plan(source)
    ids, refused = list[str](), list(plan.refused)
    for item in contract.items(plan):
        try:
            for one in form.read(source, item):
                if isinstance(one, Refusal):
                    refused.append(one)
                else:
                    ids += [each.id for each in (one.each() if isinstance(one, Rows) else [one])]
        except DataError as error:
            refused.append(Refusal.of(item.key, error))
    return ids, refused


@pytest.mark.parametrize("name", contract.READABLE)
def test_paths_that_differ_in_a_slash_alone_make_no_id_twice(name: str, tmp_path: Path) -> None:
    form, source = contract.made(name, tmp_path / "source")
    alone, _ = accounted(form, source)
    both = tmp_path / "both"
    for path in [one for one in source.root.rglob("*") if one.is_file()]:
        below = path.relative_to(source.root).as_posix()
        for copy in (both / "x" / below, both / f"x_{below}"):
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, copy)
    try:
        ids, refused = accounted(form, Source(both))
    except SpecError:
        return  # of a layout that says where files lie, or what they are called
    assert len(set(ids)) == len(ids)
    assert refused or len(ids) >= 2 * len(alone), "half of it is gone without a word"
