"""What is claimed of GPUs, measured: each part runs on the CPU in small with every `make test`, and
on a card by `make gpu`, which prints one table of what came out."""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist

from medray.engine.training.ranks import Strategy, World
from medray.models.base import Network
from tests.gpu.claims import CUDA, ROWS, Claim


@pytest.fixture(params=["cpu", CUDA])
def device(request: pytest.FixtureRequest) -> str:
    """Where a part runs."""
    name: str = request.param
    return name


@pytest.fixture
def claim(device: str) -> Claim:
    """Of the device of this part."""
    return Claim(device)


@pytest.fixture
def alone(device: str, tmp_path: Path) -> Iterator[Callable[[], World]]:
    """Makes the world of one rank in a process group: NCCL's on a card, gloo's on a CPU."""
    backend = "nccl" if device == "cuda" else "gloo"
    meeting = Path(tempfile.mkdtemp(dir=tmp_path)) / "meeting"
    dist.init_process_group(backend, init_method=f"file://{meeting}", rank=0, world_size=1)
    yield lambda: OneOfMany(device)
    dist.destroy_process_group()


class OneOfMany(World):
    """One rank that wraps its network as one of several does."""

    def wrap(self, network: Network, strategy: Strategy, *, thaws: bool = False) -> torch.nn.Module:
        """DDP too, which one rank does without."""
        self.size = 2
        try:
            return super().wrap(network, strategy, thaws=thaws)
        finally:
            self.size = 1


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """The table."""
    if not ROWS:
        return
    name = torch.cuda.get_device_name()
    terminalreporter.section(f"{name}, torch {torch.__version__}")
    widths = [max(len(row[column]) for row in ROWS) for column in range(3)]
    for row in ROWS:
        cells = (text.ljust(width) for text, width in zip(row, widths, strict=True))
        terminalreporter.write_line("  ".join(cells))
