"""Mutate DICOM headers and ingest each, in a process of its own; prints what happened as JSON.

Run as: mutate.py SEEDS_FOLDER COUNT SEED. Every file of the folder is a sound DICOM file.
"""

import json
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from medray.errors import DataError
from medray.formats.base import Source
from medray.formats.dicom import Dicom

LIMIT_S = 5
OPTIONS = {
    "deidentify": {"method": "none"},
    "select": {"min_slices": 1, "modality": ["CT", "MR"]},
    "volumes": "split",
    "resample": True,
}
SPECIAL = (b"\xff\xff\xff\xff", b"\0\0\0\0", b"\xff\xff", b"\0\0", b"SQ", b"UN", b"OB")
SPECIAL += (b"\xfe\xff\x00\xe0\xff\xff\xff\xff", b"\xfe\xff\x0d\xe0\0\0\0\0", b"\x80", b"9" * 12)


def mutated(content: bytes, header: int, chance: random.Random) -> bytes:
    """One to four edits within the first `header` bytes behind the preamble, or a cut."""
    made = bytearray(content)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(128, header)
        kind = chance.randrange(6)
        if kind == 0:
            made[at] ^= 1 << chance.randrange(8)
        elif kind == 1:
            made[at] = chance.randrange(256)
        elif kind == 2:
            value = chance.choice(SPECIAL)
            made[at : at + len(value)] = value
        elif kind == 3:
            start = chance.randrange(132, header)
            made[at:at] = made[start : start + chance.randrange(1, 64)]
        elif kind == 4:
            del made[at : at + chance.randrange(1, 32)]
        elif chance.random() < 0.2:
            del made[chance.randrange(len(made)) :]
        header = min(header, len(made))
        if header <= 140:
            break
    return bytes(made)


def main(seeds: Path, count: int, seed: int) -> None:
    chance = random.Random(seed)
    originals = [path.read_bytes() for path in sorted(seeds.iterdir())]
    headers = [max(content.rfind(b"\xe0\x7f\x10\0"), 400) + 28 for content in originals]
    outcomes: Counter[str] = Counter()
    slowest = 0.0

    def hang(*_: object) -> None:
        # Not an Exception: nothing on the way may swallow it.
        raise SystemExit(f"a file took longer than {LIMIT_S} s")

    signal.signal(signal.SIGALRM, hang)
    ingest = Dicom(Dicom.Options.model_validate(OPTIONS))
    with tempfile.TemporaryDirectory() as folder:
        source = Source(Path(folder))
        for _ in range(count):
            which = chance.randrange(len(originals))
            content = mutated(originals[which], headers[which], chance)
            (source.root / "x.dcm").write_bytes(content)
            signal.alarm(LIMIT_S)
            start = time.perf_counter()
            plan = ingest.plan(source)
            codes = [refusal.code for refusal in plan.refused]
            for item in (item for group in plan.groups for item in group):
                try:
                    codes += ["taken" for _ in ingest.read(source, item)]
                except DataError as error:
                    codes.append(error.code)
            slowest = max(slowest, time.perf_counter() - start)
            signal.alarm(0)
            if len(codes) != 1 and set(codes) != {"taken"}:
                raise SystemExit(f"one file, and these outcomes: {codes}")
            outcomes[codes[0]] += 1
    # Not ru_maxrss: Linux carries the parent's peak over into a child.
    status = Path("/proc/self/status").read_text()
    peak = int(status.partition("VmHWM:")[2].split()[0]) // 1024
    sys.stdout.write(json.dumps({"outcomes": outcomes, "slowest_s": slowest, "peak_mib": peak}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
