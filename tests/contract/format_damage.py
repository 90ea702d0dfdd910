"""Damage to files, by seed; and, run as a script, thousands of damaged NIfTI headers, every other
one gzipped.

    python format_damage.py FOLDER COUNT

prints how many were read and refused, the slowest, and the peak memory of the process. Anything but
a DataError ends it.
"""

import gzip
import json
import random
import struct
import sys
import time
from collections import Counter
from pathlib import Path

HEADER_BYTES = 352


def strike(root: Path, seed: int, reach: int = 2048, files: str = "*") -> tuple[Path, bytes]:
    """Damage one file below `root` whose name is like `files`, in its first `reach` bytes; returns
    it with what it held."""
    rng = random.Random(seed)
    paths = sorted(path for path in root.rglob(files) if path.is_file())
    path = rng.choice(paths)
    original = path.read_bytes()
    path.write_bytes(damaged(original, rng, reach))
    return path, original


def damaged(original: bytes, rng: random.Random, reach: int = 2048) -> bytes:
    """The bytes cut short, with bits turned, or with numbers that parsers stumble over."""
    data = bytearray(original)
    kind = rng.randrange(4)
    if kind == 0:
        return bytes(data[: rng.randrange(len(data))])
    for _ in range(rng.choice((1, 1, 2, 8))):
        at = rng.randrange(min(len(data), reach))
        if kind == 1:
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 2:
            data[at] = rng.randrange(256)
        else:
            raw = rng.choice(
                (
                    struct.pack("<h", rng.choice((-1, 0, 1, 7, 32767, -32768))),
                    struct.pack("<i", rng.choice((-1, 0, 2**31 - 1, -(2**31)))),
                    struct.pack("<f", rng.choice((float("nan"), float("inf"), 1e38, -1e30, 0.0))),
                )
            )
            data[at : at + len(raw)] = raw
    return bytes(data)


def main(root: Path, count: int) -> None:
    """Read `count` damaged copies of the plain NIfTI file below `root`."""
    from medray.errors import DataError
    from medray.formats.base import Source
    from medray.formats.nifti import Nifti

    original = (root / "images" / "c.nii").read_bytes()
    place = root / "one"
    place.mkdir()
    form, source = Nifti(Nifti.Options(fourth_axis="channels")), Source(place)
    codes: Counter[str] = Counter()
    slowest = 0.0
    for seed in range(count):
        for left in place.iterdir():
            left.unlink()
        bad = damaged(original, random.Random(seed), HEADER_BYTES)
        if seed % 2:
            (place / "a.nii.gz").write_bytes(gzip.compress(bad))
        else:
            (place / "a.nii").write_bytes(bad)
        started = time.perf_counter()
        try:
            for group in form.plan(source).groups:
                for item in group:
                    list(form.read(source, item))
            codes["read"] += 1
        except DataError as error:
            codes[error.code] += 1
        slowest = max(slowest, time.perf_counter() - started)
    read = codes.pop("read", 0)
    # Not rusage's peak, which begins with the size of the parent.
    status = Path("/proc/self/status").read_text()
    report = {
        "read": read,
        "refused": codes.total(),
        "codes": codes,
        "slowest_s": slowest,
        "rss_bytes": int(status.partition("VmHWM:")[2].split()[0]) * 1024,
    }
    json.dump(report, sys.stdout)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
