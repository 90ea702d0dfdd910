"""VCF: plain, gzip, bgzip or BCF; sites as rows, or calls as VCF Zarr.

A file is read in stretches (see `bgzf`), each an input of its own. Sample names are personal data:
they stand in the calls' arrays and nowhere else.
"""

from collections.abc import Iterator
from typing import Any, ClassVar, Literal

from pydantic import Field

from medray.errors import DataError
from medray.formats.base import Format, FormatOptions, Input, Plan, Source, grouped
from medray.formats.files import Found, nothing_found, open_path, walk
from medray.formats.vcf.bgzf import kind_of, stretches
from medray.formats.vcf.reader import Reading
from medray.formats.vcf.sites import rows_of
from medray.storage.samples import Refusal, Sample

SUFFIXES = (".vcf", ".vcf.gz", ".vcf.bgz", ".bcf")
HEAD = 2**16  # bytes that tell what a file is
GROUP_SAMPLES = 64

__all__ = ["Vcf"]


class VcfOptions(FormatOptions):
    """How to read VCF."""

    table: Literal["sites", "calls"] = Field(
        "sites", description="a row per ALT allele, or genotypes as VCF Zarr"
    )
    partition: int = Field(
        32 * 2**20, ge=2**16, description="bytes of a file, as it lies there, that one input has"
    )
    allow: tuple[str, ...] = Field(
        ("unsorted",), description="codes of refusals that are passed over"
    )
    max_refused: int = Field(
        1000, ge=0, description="refused records of one input, above which all of it is refused"
    )
    max_line: int = Field(64 * 2**20, gt=0, description="bytes that a record may have")


class Vcf(Format):
    """VCF 4.0 to 4.5 and BCF 2; one input per stretch of a file."""

    name: ClassVar[str] = "vcf"
    Options: ClassVar[type[FormatOptions]] = VcfOptions
    options: VcfOptions

    def plan(self, source: Source) -> Plan:
        """Stretches of files, from sizes and first bytes alone."""
        files, refused = walk(source, SUFFIXES)
        inputs: list[Input] = []
        for file in files:
            try:
                inputs += self._inputs(source, file)
            except DataError as error:
                refused.append(Refusal(file.path, error.code, error.message))
        if not inputs and not refused:
            nothing_found(source, "VCF files", f"their names end in {', '.join(SUFFIXES)}")
        return Plan(grouped(inputs, samples=GROUP_SAMPLES, size=self.options.partition), refused)

    def read(self, source: Source, item: Input) -> Iterator[Sample | Refusal]:
        """The records of one stretch; a refused one is named by its line."""
        path = open_path(source, item.paths[0])
        reading = Reading(path, item, self.options)
        for table in reading.tables():
            yield from rows_of(table, item.paths[0], int(item.extra["partition"]))
            yield from reading.taken()
        yield from reading.taken()

    def _inputs(self, source: Source, file: Found) -> Iterator[Input]:
        source.fetch(file.path, HEAD)
        kind = kind_of(open_path(source, file.path))
        cuts = stretches(kind, file.size, self.options.partition)
        for number, (start, stop) in enumerate(cuts):
            extra: dict[str, Any] = {"partition": number, "start": start, "stop": stop}
            yield Input(
                key=file.path if len(cuts) == 1 else f"{file.path}#{number}",
                paths=(file.path,),
                fingerprint=f"{file.path}:{file.size}:{file.mtime_ns}",
                size=stop - start,
                extra={**extra, "kind": kind, "last": number == len(cuts) - 1},
            )
