"""One rank's view of the group that trains: alone, under torchrun, or under Ray Train."""

import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from medray.data.order import share

Strategy = Literal["ddp", "fsdp"]


class World:
    """The ranks that train together. Whoever starts them sets the process group up.

    Args:
        device: of this rank.
        report: called on every rank at the end of every epoch with (metrics); Ray Train's own.
    """

    def __init__(
        self,
        device: torch.device | str = "cpu",
        report: Callable[[dict[str, Any]], None] | None = None,
    ) -> None:
        self.device = torch.device(device)
        self._report = report
        self._group = dist.is_available() and dist.is_initialized()
        self.rank = dist.get_rank() if self._group else 0
        self.size = dist.get_world_size() if self._group else 1

    def wrap(self, network: nn.Module, strategy: Strategy, *, thaws: bool = False) -> nn.Module:
        """The network as it is to be called while training; its parameters are the same objects,
        but under fsdp, where they are replaced by their shards.

        Args:
            network: to be trained.
            strategy: how ranks share it.
            thaws: some of its parameters learn in some steps only.
        """
        if not self._group or (self.size == 1 and strategy == "ddp"):
            return network
        if strategy == "fsdp":
            self.shard(network)
            return network
        on_gpu = self.device.type == "cuda"
        if thaws:  # once all parts learn, torch says that none had to be looked for
            warnings.filterwarnings("ignore", message="find_unused_parameters=True was specified")
        return DistributedDataParallel(
            network,
            device_ids=[self.device] if on_gpu else None,
            gradient_as_bucket_view=True,
            find_unused_parameters=thaws,
        )

    def shard(self, network: nn.Module) -> None:
        """Spread parameters over the ranks (FSDP2, Zhao et al. 2023), part by part of the network,
        so that at most one part is whole at a time."""
        if not self._group:
            return
        from torch.distributed.fsdp import fully_shard  # a second's work, which few need

        for part in network.children():
            blocks = part.children() if isinstance(part, nn.ModuleList) else (part,)
            for block in blocks:
                if any(True for _ in block.parameters()):
                    fully_shard(block)
        fully_shard(network)

    def synchronised(self, module: nn.Module, last: bool) -> AbstractContextManager[Any]:
        """Around forward and backward of one part of a step: gradients meet after the last."""
        if isinstance(module, DistributedDataParallel):
            return nullcontext() if last else module.no_sync()
        part_by_part: Any = getattr(module, "set_requires_gradient_sync", None)  # FSDP2's
        if part_by_part is not None:
            part_by_part(last)
        return nullcontext()

    def total(self, tensor: Tensor) -> Tensor:
        """The sum over all ranks, on every rank."""
        if self.size == 1:
            return tensor
        moved = tensor.to(self.device)
        dist.all_reduce(moved)
        return moved.to(tensor.device)

    def align(self, network: nn.Module) -> None:
        """Give every rank rank 0's buffers: each rank's batch norms have seen other samples."""
        if self.size > 1:
            for buffer in network.buffers():
                dist.broadcast(buffer, 0)

    def from_first(self, number: int) -> int:
        """Rank 0's number, on every rank."""
        return int(self.total(torch.tensor(number if self.rank == 0 else 0)).item())

    def report(self, metrics: dict[str, Any]) -> None:
        """Tell whoever started the ranks; a barrier under Ray Train."""
        if self._report is not None:
            self._report(metrics)


class Gathered(torch.autograd.Function):
    """All ranks' rows; their gradients go back to the rank of each row, added up over ranks.

    torch's own goes by all-to-all, which gloo has not.
    """

    @staticmethod
    def forward(ctx: Any, rows: Tensor, world: World, batch: int) -> Tensor:
        """Rows (samples of this rank, …) to (batch, …)."""
        ctx.world, ctx.mine = world, share(batch, world.rank, world.size)
        if world.size == 1:
            return rows.clone()
        shares = [share(batch, rank, world.size) for rank in range(world.size)]
        sizes = [part.stop - part.start for part in shares]
        # Shares differ by one sample at most: all are sent with as many rows as the largest.
        sent = rows.new_zeros(max(sizes), *rows.shape[1:])
        sent[: len(rows)] = rows
        got = [torch.empty_like(sent) for _ in sizes]
        dist.all_gather(got, sent)
        return torch.cat([one[:size] for one, size in zip(got, sizes, strict=True)])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        """Of (batch, …) to (samples of this rank, …)."""
        return ctx.world.total(gradients[0].clone())[ctx.mine], None, None
