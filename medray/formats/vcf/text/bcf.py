"""BCF files as the text that they stand for, read by htslib."""

from collections.abc import Iterator
from pathlib import Path

from medray.errors import DataError
from medray.formats.vcf.text.blocks import COPY_AGAIN, inflated


def text_of(path: Path, size: int) -> Iterator[bytes | DataError]:
    """The text that a BCF file stands for.

    A record that breaks its own bounds is a fault by itself; htslib goes on behind it. Where blocks
    are damaged nobody knows where the next record begins.
    """
    import pysam

    pysam.set_verbosity(0)  # htslib would quote what it chokes on
    held: list[str] = []
    count, number = 0, 0
    fault: DataError | None = None
    try:
        with pysam.VariantFile(str(path), "rb") as file:
            yield str(file.header).encode()
            records = iter(file)
            while True:
                number += 1
                try:
                    text = str(next(records))
                except StopIteration:
                    break
                except (OSError, ValueError, UnicodeError):
                    if fault is None and not _sound(path):
                        raise
                    yield "".join(held).encode()
                    held, count = [], 0
                    if fault is not None:
                        yield fault
                    fault = _bad_record(number, "the record is damaged")
                    continue
                if fault is not None:
                    yield fault
                    fault = None
                held.append(text)
                count += len(text)
                if count >= size:
                    yield "".join(held).encode()
                    held, count = [], 0
    except (OSError, ValueError, UnicodeError) as error:
        reason = "the BCF file is damaged or cut off"
        raise DataError(reason, code="damaged-bcf", hint=COPY_AGAIN) from error
    if fault is not None:
        yield _bad_record(number - 1, "the record is damaged, and what may follow it is not found")
    yield "".join(held).encode()


def _bad_record(number: int, reason: str) -> DataError:
    return DataError(reason, code="damaged-bcf", about=f"record {number}", hint=COPY_AGAIN)


def _sound(path: Path) -> bool:
    """Whether all blocks of a file have their checksums."""
    with path.open("rb") as file:
        return not any(isinstance(text, DataError) for _, text in inflated(file))
