"""A format from outside: recordings of some seconds, as no picture is."""

from collections.abc import Iterator
from dataclasses import replace
from typing import ClassVar

import numpy as np

from medray.formats.base import Format, FormatOptions, Found, Input, Source
from medray.formats.files import walk
from medray.storage.shards.records import Refusal
from medray.storage.shards.samples import Sample
from medray.storage.shards.schema import Arrays, ArraySpec, Axis

LEADS = ArraySpec((Axis("lead", "channel"), Axis("time", "time", "second")), ("float32",))


class Signals(Format):
    """Files `<name>@<Hz>.f32`: float32 (12, time), a recording each."""

    name: ClassVar[str] = "toy-signals"

    class Options(FormatOptions):
        """None but whether it says what it makes."""

        declared: bool = True

    options: Options

    def arrays(self) -> Arrays:
        return {"signal": LEADS} if self.options.declared else {}

    def plan(self, source: Source) -> Found:
        files, refused = walk(source, (".f32",))
        items = [Input(f.path, (f.path,), f.fingerprint, f.size, {}, f.stamp) for f in files]
        rate = max(int(one.key.partition("@")[2].removesuffix(".f32")) for one in items)
        chunked = {"signal": replace(LEADS, chunk=(None, 10 * rate))}
        return Found(
            [[one] for one in items], refused, arrays=chunked if self.options.declared else {}
        )

    def read(self, source: Source, item: Input) -> Iterator[Sample | Refusal]:
        values = np.fromfile(source.place(item.paths[0]), np.float32)
        yield Sample(item.key, {"subject": item.key}, {"signal": values.reshape(12, -1)})
