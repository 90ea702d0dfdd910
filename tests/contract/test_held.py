"""Of every format: what is read is what was planned, file by file, from before to after."""

import os
import sys
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from medray.errors import DataError
from medray.formats import FORMATS
from medray.formats.base import Format, Input, Source
from medray.formats.bucket import fetched, outlined
from medray.formats.held import held, look
from medray.storage.store.objects import Objects

sys.path.insert(0, str(Path(__file__).parent))
import format_examples as examples

READABLE = sorted(examples.SOURCES)


@pytest.fixture(params=READABLE)
def planned(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Format, Source]:
    root = tmp_path / "source"
    root.mkdir()
    kind = FORMATS.get(request.param)
    made = kind(kind.Options.model_validate(examples.SOURCES[request.param](root)))
    return made, Source(root)


def inputs(made: Format, source: Source) -> list[Input]:
    return [item for group in made.plan(source).groups for item in group]


def files(made: Format, source: Source) -> list[tuple[Input, Path]]:
    """Every file that an input is read from."""
    return [
        (item, source.place(below))
        for item in inputs(made, source)
        for path in made.opens(item)
        for below, _ in look(source, path)
    ]


def read(made: Format, source: Source, item: Input) -> int:
    with held(source, made, item):
        return len(list(made.read(source, item)))


@contextmanager
def swapped(path: Path, *, restored: bool = True):
    """Other content of the same size, until the end of the block; its times are put back too."""
    before, status = path.read_bytes(), path.stat()
    path.write_bytes(bytes(len(before)))
    if restored:
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    yield
    path.write_bytes(before)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def test_what_rests_is_read(planned: tuple[Format, Source]) -> None:
    made, source = planned
    for item in inputs(made, source):
        assert item.stamp
        assert read(made, source, item) > 0


def test_a_file_swapped_before_it_is_read_is_refused(planned: tuple[Format, Source]) -> None:
    made, source = planned
    for restored in (True, False):
        for item, path in files(made, source):
            with swapped(path, restored=restored), pytest.raises(DataError) as caught:
                read(made, source, item)
            assert caught.value.code == "changed-while-read", path
        # Put back, it is what a new plan takes.
        for item in inputs(made, source):
            assert read(made, source, item) > 0


def test_a_file_swapped_while_it_is_read_is_refused_though_it_was_put_back(
    planned: tuple[Format, Source],
) -> None:
    made, source = planned
    for _, path in files(made, source):
        for item in inputs(made, source):
            if path not in [source.place(p) for o in made.opens(item) for p, _ in look(source, o)]:
                continue
            with pytest.raises(DataError) as caught, held(source, made, item), swapped(path):
                list(made.read(source, item))  # whatever it says of zeros
            assert caught.value.code == "changed-while-read", path


def test_a_file_that_is_gone_is_refused(planned: tuple[Format, Source]) -> None:
    made, source = planned
    item, path = files(made, source)[0]
    path.rename(path.with_name("aside"))
    with pytest.raises(DataError) as caught:
        read(made, source, item)
    assert caught.value.code == "changed-while-read"


def test_times_are_no_content(planned: tuple[Format, Source]) -> None:
    made, source = planned[0], replace(planned[1], by_content=True)
    before = {item.key: item.fingerprint for item in inputs(made, source)}
    everything = sorted({path for _, path in files(made, source)})
    for path in everything:
        os.utime(path, ns=(1, 1))
    items = inputs(made, source)
    assert {item.key: item.fingerprint for item in items} == before
    for path in everything:
        os.utime(path, ns=(2, 2))
    for item in items:
        assert read(made, source, item) > 0
    item, path = files(made, source)[0]
    # Same size, same times: only its content tells.
    with swapped(path), pytest.raises(DataError, match="changed-while-read"):
        read(made, source, item)


def in_bucket(source: Source) -> Objects:
    remote = Objects("memory:///")
    for path in sorted(source.root.rglob("*")):
        if path.is_file():
            remote.put(path.relative_to(source.root).as_posix(), path.read_bytes())
    return remote


@pytest.mark.parametrize("by_content", [False, True])
def test_an_object_is_held_by_its_etag_or_its_content(
    planned: tuple[Format, Source], by_content: bool
) -> None:
    made, source = planned
    if made.name == "ome_zarr":  # read from folders only
        return
    remote = in_bucket(source)
    with outlined(remote, by_content=by_content) as outline:
        items = inputs(made, outline)
    for item in items:
        with fetched(remote, made.files(item), by_content=by_content) as here:
            assert read(made, here, item) > 0
    path = next(iter(made.files(items[0])))
    remote.put(path, bytes(len(remote.get(path))))
    with (
        fetched(remote, made.files(items[0]), by_content=by_content) as here,
        pytest.raises(DataError, match="changed-while-read"),
    ):
        read(made, here, items[0])


def test_links_that_lead_out_are_read_where_the_job_says_so(
    planned: tuple[Format, Source], tmp_path: Path
) -> None:
    made, source = planned
    wanted = {item.key for item in inputs(made, source)}
    linked = tmp_path / "linked"
    linked.mkdir()
    for path in source.root.iterdir():
        (linked / path.name).symlink_to(path)
    if made.name == "ome_zarr":  # its own listing of groups follows no links
        return
    for item in inputs(made, Source(linked, follow_links=True)):
        wanted.remove(item.key)
        assert read(made, Source(linked, follow_links=True), item) > 0
    assert not wanted
    refused = made.plan(Source(linked)).refused
    indices = [path for path in source.root.iterdir() if path.suffix == ".fai"]
    assert len(refused) == len(list(source.root.iterdir())) - len(indices)
    assert {one.code for one in refused} == {"outside-source"}
    assert {one.hint for one in refused} == {"`follow_links: true` takes what it leads to"}
