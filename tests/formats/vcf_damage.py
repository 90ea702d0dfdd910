"""Thousands of damaged VCF files, plain, gzipped, bgzipped and BCF, as sites and as calls.

    python vcf_damage.py FILE... COUNT

prints how many were read whole, read with refused records, and refused, the slowest, and the peak
memory of the process. Anything but a DataError ends it.
"""

import gzip
import json
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

TEXTS = (
    b"\t", b"\n", b".", b",", b":", b";", b"=", b"-1", b"9" * 12, b"1e400", b"\xff", b"\0", b"#",
    b"/", b"|", b"nan", b"<", b'"', b"0|0|0|0|0", b"\r\n",
)  # fmt: skip


def damaged(original: bytes, rng: random.Random) -> bytes:
    """The bytes cut short, with bits turned, texts put in, or parts taken out or doubled."""
    data = bytearray(original)
    kind = rng.randrange(5)
    if kind == 0:
        return bytes(data[: rng.randrange(len(data))])
    for _ in range(rng.choice((1, 1, 2, 8))):
        at = rng.randrange(max(1, len(data)))
        if kind == 1:
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 2:
            data[at:at] = rng.choice(TEXTS)
        elif kind == 3:
            del data[at : at + rng.choice((1, 1, 5, 100))]
        else:
            text = rng.choice(TEXTS)
            data[at : at + len(text)] = text
    return bytes(data)


def main(paths: list[Path], count: int) -> None:
    """Read `count` damaged copies, each of one of `paths`."""
    from medray.errors import DataError
    from medray.formats.base import Source
    from medray.formats.vcf import Vcf
    from medray.storage.shards.records import Refusal

    forms = [
        Vcf(Vcf.Options(table="sites", fields="all")),
        Vcf(Vcf.Options(table="calls", partition=2**16)),
    ]
    counts: Counter[str] = Counter()
    slowest = 0.0
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(count):
            rng = random.Random(seed)
            source = rng.choice(paths)
            whole = source.read_bytes()
            packed = whole[:2] == b"\x1f\x8b"
            if packed and source.suffix == ".gz" and rng.random() < 0.7:
                # Damage below the checksums, or hardly anything would come as far as a record.
                data = gzip.compress(damaged(gzip.decompress(whole), rng), 1)
            else:
                data = damaged(whole, rng)
            path = Path(folder, source.name)
            path.write_bytes(data)
            started = time.perf_counter()
            for form in forms:
                codes = []
                try:
                    plan = form.plan(Source(path))
                    codes += [one.code for one in plan.refused]
                    for item in (item for group in plan.groups for item in group):
                        for one in form.read(Source(path), item):
                            if isinstance(one, Refusal):
                                codes.append("record")
                except DataError as error:
                    codes.append(error.code)
                kind = set(codes) - {"record"}
                counts["refused" if kind else "part" if codes else "read"] += 1
            slowest = max(slowest, time.perf_counter() - started)
    # Not rusage's peak, which begins with the size of the parent.
    status = Path("/proc/self/status").read_text()
    peak = int(status.partition("VmHWM:")[2].split()[0]) * 1024
    json.dump({**counts, "slowest_s": slowest, "rss_bytes": peak}, sys.stdout)


if __name__ == "__main__":
    main([Path(name) for name in sys.argv[1:-1]], int(sys.argv[-1]))
