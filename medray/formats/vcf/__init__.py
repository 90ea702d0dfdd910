"""VCF: plain, gzip, bgzip or BCF; sites as rows, or calls as VCF Zarr.

A file is read in stretches (see `bgzf`), each an input of its own. Sample names are personal data:
they stand in the calls' arrays and nowhere else.
"""

import hashlib
import hmac
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field, PositiveInt

from medray.errors import DataError
from medray.formats.base import Format, FormatOptions, Found, Input, Source
from medray.formats.files import (
    INDICES,
    File,
    is_empty,
    nothing_found,
    open_path,
    place,
    replacing,
    walk,
)
from medray.formats.naming import Apart
from medray.formats.packed import grouped
from medray.formats.site_key import load_key
from medray.formats.tabular.text import mind_the_end
from medray.formats.vcf.reader import Reading
from medray.formats.vcf.sites import rows_of
from medray.formats.vcf.store.calls import Group
from medray.formats.vcf.store.extents import READ
from medray.formats.vcf.store.samples import calls_of
from medray.formats.vcf.store.vcz import Part, write_vcf, write_vcz
from medray.formats.vcf.text.bgzf import kind_of, stretches
from medray.formats.vcf.text.info import info_of
from medray.storage.shards.holds import TOLD, Holds, Needs, named, names
from medray.storage.shards.records import Refusal
from medray.storage.shards.samples import Layout, Sample
from medray.storage.shards.schema import ANY, Arrays, ArraySpec

SUFFIXES = (".vcf", ".vcf.gz", ".vcf.bgz", ".bcf")
HEAD = 2**16  # bytes that tell what a file is
GROUP_SAMPLES = 64
GROUP_BYTES = 256 * 2**20  # of calls held at once, then a new group begins; the peak is twice that

__all__ = ["Vcf"]


class VcfOptions(FormatOptions):
    """How to read VCF."""

    table: Literal["sites", "calls"] = Field(
        "sites", description="a row per ALT allele, or genotypes as VCF Zarr"
    )
    partition: int = Field(
        32 * 2**20, ge=2**16, description="bytes of a file, as it lies there, that one input has"
    )
    fields: Literal["all", "ml"] | tuple[str, ...] | None = Field(
        None,
        description="INFO/X and FORMAT/X, or X for both, to take; ml: genotypes alone; None: all "
        "of calls, and no INFO of sites",
    )
    drop: tuple[str, ...] = Field((), description="fields to leave out, named as in `fields`")
    chunk: tuple[PositiveInt, PositiveInt] = Field(
        (1000, 1000), description="variants and samples of one chunk of calls"
    )
    samples: Literal["names", "pseudonyms"] = Field(
        "names",
        description="pseudonyms: under the site's key; lines of the header that may name samples "
        "are left out",
    )
    key_env: str = Field("MEDRAY_DEID_KEY", description="environment variable that holds the key")
    key_file: str = Field("", description="file that holds the key; goes before key_env")
    file: Literal["vcf", "vcz"] = Field(
        "vcf", description="what `write` makes of calls: VCF, bgzipped, or VCF Zarr"
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

    def arrays(self) -> Arrays:
        """Calls lie as VCF Zarr says; sites have no arrays."""
        return {} if self.options.table == "sites" else {ANY: ArraySpec((), form="laid")}

    def holds(self) -> Holds:
        """Rows of sites, or arrays of calls."""
        return Holds(named(self.arrays()), lacks=TOLD)

    def needs(self) -> Needs:
        """Calls."""
        hint = "sites are written by the format `table`"
        return Needs((names("variant_position"),), hint=hint, code="no-calls")

    def ready(self) -> None:
        """The site's key, where samples have pseudonyms.

        Raises:
            SpecError: there is none, or a weak one.
        """
        super().ready()
        if self.options.samples == "pseudonyms":
            load_key(self.options.key_env, self.options.key_file)

    def plan(self, source: Source) -> Found:
        """Stretches of files, from sizes and first bytes alone.

        Raises:
            SpecError: pseudonyms are asked for and there is no key.
        """
        files, refused = walk(source, SUFFIXES, own=INDICES)
        key = ""
        if self.options.samples == "pseudonyms":
            site = load_key(self.options.key_env, self.options.key_file)
            key = _pseudonym(site, "fingerprint")
        inputs: list[Input] = []
        apart = Apart()
        for file in files:
            try:
                apart.require(file.path)
                inputs += self._inputs(source, file, key)
            except DataError as error:
                refused.append(Refusal.of(file.path, error))
        if is_empty(inputs, refused):
            nothing_found(source, "VCF files", f"their names end in {', '.join(SUFFIXES)}")
        return Found(grouped(inputs, samples=GROUP_SAMPLES, size=self.options.partition), refused)

    def read(self, source: Source, item: Input) -> Iterator[Sample | Refusal]:
        """The records of one stretch; a refused one is named by its line.

        Sites come as tables, a row per ALT; calls as one sample per group of records, of a size
        that memory holds whatever the stretch unpacks to.
        """
        reading = Reading(open_path(source, item.paths[0]), item, self.options)
        yield from (
            self._sites(reading, item)
            if self.options.table == "sites"
            else self._calls(reading, item)
        )
        yield from reading.taken()

    def write(self, samples: Iterable[Sample], target: Path) -> Iterator[Path]:
        """`<sample>.vcf.gz` or `<sample>.vcz` of each group of calls; equal input, equal bytes.

        In the order of the dataset the files are the pieces of one: `bcftools concat --naive` joins
        them.

        Raises:
            DataError: a sample holds no calls (code "no-calls").
        """
        for sample in samples:
            suffix = ".vcz" if self.options.file == "vcz" else ".vcf.gz"
            path = place(target, sample.id, suffix)
            if sample.layout is None or "vcf_zarr_version" not in sample.layout.attributes:
                raise DataError(
                    "the sample holds no calls",
                    code="no-calls",
                    about=sample.id,
                    hint="sites are written by the format `table`",
                )
            arrays = {k: v for k, v in sample.arrays.items() if isinstance(v, np.ndarray)}
            part = Part(sample.layout, dict(arrays))
            with replacing(path) as temporary:
                if self.options.file == "vcz":
                    write_vcz([part], temporary)
                else:
                    write_vcf([part], temporary)
            yield path

    def wants(self, category: Literal["INFO", "FORMAT"]) -> Callable[[str], bool]:
        """Which fields of a category the options take."""
        fields = self.options.fields
        if fields is None:
            fields = "all" if self.options.table == "calls" else ()
        taken = ("FORMAT/GT",) if fields == "ml" else fields
        drop = self.options.drop

        def wanted(name: str) -> bool:
            names = {name, f"{category}/{name}"}
            return (taken == "all" or not names.isdisjoint(taken)) and names.isdisjoint(drop)

        return wanted

    def _sites(self, reading: Reading, item: Input) -> Iterator[Sample | Refusal]:
        wanted = self.wants("INFO")
        some = self.options.fields not in (None, (), "ml")
        file, partition = item.paths[0], int(item.extra["partition"])
        for table, verdicts in reading.blocks():
            info = info_of(table, reading.header, wanted, verdicts) if some else {}
            rows = rows_of(table, verdicts.sound, info, file, partition)
            if rows is not None:
                yield rows
            yield from reading.taken()

    def _calls(self, reading: Reading, item: Input) -> Iterator[Sample | Refusal]:
        wanted, asked = self.wants("FORMAT"), self.wants("INFO")
        header = reading.header
        names = header.samples
        hidden = self.options.samples == "pseudonyms"
        if hidden:
            key = load_key(self.options.key_env, self.options.key_file)
            names = tuple(_pseudonym(key, name) for name in names)
        group = Group(header, names, self.options.chunk, anonymous=hidden)
        parts = 0
        for table, verdicts in reading.blocks():
            # How far a record reaches is read in any case: its length hangs on it.
            info = info_of(table, header, lambda name: name in READ or asked(name), verdicts)
            called, fields = calls_of(
                table, header, lambda name: name in READ or wanted(name), verdicts
            )
            group.add(table, verdicts.sound, info, called, fields)
            del table, info, called, fields
            if group.held >= GROUP_BYTES:
                for sample in self._samples(group, item, parts):
                    parts += 1
                    yield sample
                group = Group(header, names, self.options.chunk, anonymous=hidden)
            yield from reading.taken()
        if group.rows or not parts:
            yield from self._samples(group, item, parts)

    def _samples(self, group: Group, item: Input, first: int) -> Iterator[Sample]:
        """The runs of a group; the first is part `first` of the input."""
        for part, (arrays, layout) in enumerate(group.finish(), first):
            for name in READ:
                if not self.wants("INFO")(name):
                    arrays.pop(f"variant_{name}", None)
                if not self.wants("FORMAT")(name):
                    arrays.pop(f"call_{name}", None)
            yield self._sample(arrays, layout, item, part)

    def _sample(
        self, arrays: dict[str, np.ndarray], layout: Layout, item: Input, part: int
    ) -> Sample:
        partition, file = int(item.extra["partition"]), item.paths[0]
        positions = arrays["variant_position"]
        contigs = arrays["contig_id"][np.unique(arrays["variant_contig"])].tolist()
        row = {
            "subject": file,
            "file": file,
            "partition": partition,
            "part": part,
            "variants": len(positions),
            "samples": len(arrays["sample_id"]),
            "contigs": contigs,
            "first_pos": int(positions[0]) if len(positions) else None,
            "last_pos": int(positions[-1]) if len(positions) else None,
        }
        identity = f"{file.replace('/', '_')}.{partition:05d}.{part:03d}"
        return Sample(identity, row, dict(arrays), layout)

    def _inputs(self, source: Source, file: File, key: str) -> Iterator[Input]:
        source.fetch(file.path, HEAD)
        path = open_path(source, file.path)
        kind = kind_of(path)
        if kind == "plain" and path.stat().st_size == file.size:  # of a bucket's there is the head
            mind_the_end(path, file.path)
        cuts = stretches(kind, file.size, self.options.partition)
        for number, (start, stop) in enumerate(cuts):
            yield Input(
                key=file.path if len(cuts) == 1 else f"{file.path}#{number}",
                paths=(file.path,),
                fingerprint=file.fingerprint,
                size=stop - start,
                stamp=file.stamp,
                extra={
                    "partition": number,
                    "start": start,
                    "stop": stop,
                    "kind": kind,
                    "last": number == len(cuts) - 1,
                    "key": key,
                },
            )


def _pseudonym(key: bytes, name: str) -> str:
    return hmac.digest(key, f"vcf\0{name}".encode(), hashlib.sha256).hex()[:20]
