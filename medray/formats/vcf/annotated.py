"""Annotated VCF: the files that were ingested, line by line, with scores in INFO."""

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np
import pyarrow as pa
from pydantic import Field

from medray.errors import SpecError
from medray.formats.base import FormatOptions, Input, Source, WriteOnly
from medray.formats.files import open_path, replacing
from medray.formats.joined import Joined, Look, Piece, Share
from medray.formats.vcf import SUFFIXES, Vcf, VcfOptions
from medray.formats.vcf.merge import NOT_IN_KEYS, Annotations, annotated
from medray.formats.vcf.text.bgzf import Kind, lines_of
from medray.formats.vcf.text.blocks import EOF_MARK
from medray.storage.shards.holds import Needs, names
from medray.storage.shards.records import Refusal
from medray.version import __version__

STATUS = "status"
LEVEL = 2  # of compression: 2.5 times as fast as 6, files 12 to 23 % larger
CSI_SHIFT = 14  # bases of the index's smallest bins, as htslib's default
PLACE = ("file", "partition")


class AnnotatedVcfOptions(FormatOptions):
    """Where the files are, and what to add."""

    source: str = Field("", description="folder or file that was ingested, or s3://bucket/prefix")
    partition: int = Field(
        VcfOptions().partition, ge=2**16, description="as of the ingest of the sites"
    )
    columns: tuple[str, ...] | None = Field(
        None, min_length=1, description="of the scores to write; null: all statistics"
    )
    prefix: str = Field("MEDRAY_", pattern="^[A-Za-z_][0-9A-Za-z_.]*$", description="of INFO keys")
    index: bool = Field(True, description="a .csi index beside each file; needs sorted records")


class AnnotatedVcf(WriteOnly, Joined):
    """One bgzipped VCF for each VCF that was ingested, in its order, all its lines in it.

    All columns but INFO are byte for byte those of the source; so are records that have no score.
    """

    name: ClassVar[str] = "annotated_vcf"
    Options: ClassVar[type[FormatOptions]] = AnnotatedVcfOptions
    libraries: ClassVar[tuple[str, ...]] = ("pysam",)
    options: AnnotatedVcfOptions
    parts: ClassVar[bool] = True

    def ready(self) -> None:
        """Where the files are, and what writes them.

        Raises:
            SpecError: the options do not say it (code "no-source"), or a library is not installed.
        """
        super().ready()
        if not self.options.source:
            raise SpecError(
                "say where the files are that were scored",
                code="no-source",
                about=self.name,
                hint="set `source` to that of the sites' ingest",
            )

    def needs(self) -> Needs:
        """Scores of variants, and where they stand in the files."""
        hint = "score the sites of a VCF: predict with `variants`"
        return Needs(columns=names(PLACE, STATUS), hint=hint, code="no-scores")

    def shares(
        self, about: dict[str, Any], look: Look, source: Source | None
    ) -> tuple[list[Share], list[Refusal]]:
        """A share for each stretch of each file, also of those without a score."""
        self.ready()
        if source is None:
            raise SpecError("the files are not there", code="no-source", about=self.name)
        self._keys(about)
        where: dict[tuple[str, int], list[tuple[int, int, int]]] = {}
        for number, table in enumerate(look(list(PLACE))):
            for file, partition, start, stop in _runs(table):
                where.setdefault((file, partition), []).append((number, start, stop))
        plan = Vcf(VcfOptions(partition=self.options.partition)).plan(source)
        names: dict[str, str] = {}
        shares = []
        for item in (one for group in plan.groups for one in group):
            path = item.paths[0]
            if names.setdefault(_named(path), path) != path:
                raise SpecError("two files would have one name", code="duplicate-name", about=path)
            at = path, int(item.extra["partition"])
            shares.append(Share(_named(path), item.key, tuple(where.pop(at, ())), item))
        if where:
            raise SpecError(
                "there are scores of files or partitions that the source lacks",
                code="source-changed",
                about=self.raw,
                hint="give the same files, and the same `partition` as their ingest had",
            )
        return shares, plan.refused

    def part(
        self, item: Input | None, source: Source, rows: pa.Table, about: dict[str, Any]
    ) -> bytes:
        """Blocks of BGZF with the records of a stretch."""
        item = cast("Input", item)
        extra = item.extra
        blocks = lines_of(
            open_path(source, item.paths[0]),
            extra["kind"],
            extra["start"],
            extra["stop"],
            max_line=VcfOptions().max_line,
        )
        return bgzipped(annotated(blocks, Annotations(rows, self._keys(about))))

    def join(
        self,
        file: str,
        item: Input | None,
        source: Source,
        pieces: Sequence[Piece],
        target: Path,
        about: dict[str, Any],
    ) -> Iterator[Path]:
        """The header with what was added, the parts, the mark of the end; then the index."""
        path, item = target / file, cast("Input", item)
        header = self._header(open_path(source, item.paths[0]), item.extra["kind"], about)
        with replacing(path) as temporary, temporary.open("wb") as out:
            out.write(bgzipped([header]))
            for piece in pieces:
                out.writelines(piece.data())
            out.write(EOF_MARK)
        yield path
        if self.options.index:
            index = path.with_name(f"{file}.csi")
            with replacing(index) as temporary:
                _write_index(path, temporary)
            yield index

    def _keys(self, about: dict[str, Any]) -> dict[str, str]:
        """INFO key of each column that is written."""
        known = (about.get("variants") or {}).get("columns")
        columns = self.options.columns or known
        if columns is None:
            raise SpecError(
                "the dataset holds no scores of variants",
                code="no-scores",
                about=str(about["name"]),
                hint="export what a step of kind predict with `variants` has made",
            )
        return {
            name: self.options.prefix + NOT_IN_KEYS.sub("_", name) for name in (STATUS, *columns)
        }

    def _header(self, path: Path, kind: Kind, about: dict[str, Any]) -> bytes:
        keys = self._keys(about)
        lines = list(_header_lines(path, kind))
        for key in keys.values():
            if any(line.startswith(f"##INFO=<ID={key},".encode()) for line in lines):
                raise SpecError(
                    f"INFO has the key {key} already",
                    code="taken-key",
                    hint="set another `prefix`",
                )
        made = [_provenance(about, self.options.prefix)]
        made += [_definition(column, key, about) for column, key in keys.items()]
        end = b"\r\n" if lines[0].endswith(b"\r\n") else b"\n"
        added = [line.encode() + end for line in made]
        return b"".join([*lines[:-1], *added, lines[-1].rstrip(b"\r\n") + end])


def bgzipped(blocks: Iterable[bytes]) -> bytes:
    """Text as BGZF, without the mark of its end: such pieces can follow one another.

    Equal text makes equal bytes, however it is cut into blocks.
    """
    import pysam

    with tempfile.NamedTemporaryFile(prefix="medray-bgzf-") as file:
        mode: Any = f"w{LEVEL}"  # as htslib takes it, though pysam's types do not
        with pysam.BGZFile(file.name, mode, None) as out:
            for block in blocks:
                out.write(block)
        return Path(file.name).read_bytes().removesuffix(EOF_MARK)


def _write_index(path: Path, index: Path) -> None:
    import pysam

    try:
        pysam.tabix_index(
            str(path), preset="vcf", csi=True, min_shift=CSI_SHIFT, index=str(index), force=True
        )
    except OSError as error:
        raise SpecError(
            "the records are not in order, so there can be no index",
            code="unsorted",
            about=path.name,
            hint="sort the file before it is ingested, or set `index: false`",
        ) from error


def _header_lines(path: Path, kind: Kind) -> Iterator[bytes]:
    size = path.stat().st_size
    for block in lines_of(path, kind, 0, size, max_line=VcfOptions().max_line):
        for line in block.splitlines(keepends=True):
            if line[:1] != b"#":
                return
            yield line


def _provenance(about: dict[str, Any], prefix: str) -> str:
    """What the scores are of, by content: versions are called otherwise where a unit was made anew,
    and the same scores make the same file."""
    how = about.get("variants") or {}
    fields = {
        "medray": __version__,
        "scores": about["name"],
        "scoresHash": about["digest"],
        "model": about.get("model"),
        "genome": str(about.get("genome")).partition("@")[0],
        "genomeHash": how.get("genome"),
        "window": how.get("window"),
        "strand": how.get("reverse_complement"),
    }
    said = ",".join(f'{name}="{value}"' for name, value in fields.items() if value is not None)
    return f"##{prefix}scores=<ID=scores,{said}>"


def _definition(column: str, key: str, about: dict[str, Any]) -> str:
    how = about.get("variants") or {}
    by = f"of {about.get('model')} on genome {how.get('genome')}"
    if column == STATUS:
        text, kind = f"What became of each ALT when it was scored, {by}", "String"
    else:
        text, kind = f"Score {column} of each ALT against REF, {by}", "Float"
    text = text.replace("\\", r"\\").replace('"', r"\"")  # names of classes may hold both
    return (
        f'##INFO=<ID={key},Number=A,Type={kind},Description="{text}",'
        f'Source="medray",Version="{__version__}">'
    )


def _runs(table: pa.Table | None) -> Iterator[tuple[str, int, int, int]]:
    """Runs of rows of one file and partition: these, first row, one past the last."""
    if table is None or not table.num_rows:
        return
    files = table["file"].combine_chunks().dictionary_encode()
    codes = files.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    partitions = table["partition"].to_numpy().astype(np.int64)
    changes = (np.diff(codes, prepend=-1) != 0) | (np.diff(partitions, prepend=-1) != 0)
    starts = np.flatnonzero(changes)
    for start, stop in zip(starts, [*starts[1:], table.num_rows], strict=True):
        name = files.dictionary[int(codes[start])].as_py()
        yield name, int(partitions[start]), int(start), int(stop)


def _named(path: str) -> str:
    name = path.replace("/", "_")
    for suffix in sorted(SUFFIXES, key=len, reverse=True):
        if name.lower().endswith(suffix):
            return f"{name[: -len(suffix)]}.vcf.gz"
    return f"{name}.vcf.gz"
