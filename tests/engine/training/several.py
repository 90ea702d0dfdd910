"""Trainings on several ranks, which are processes that meet over gloo."""

import os
import pickle
import subprocess
import sys
from pathlib import Path

from medray.engine.training.setup import TrainSetup

RANK = """
import os, pickle, sys, torch, torch.distributed as dist
from medray.engine.training.loop import fit
from medray.engine.training.ranks import World
torch.set_num_threads(1)
rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
dist.init_process_group("gloo", init_method=f"file://{sys.argv[1]}", rank=rank, world_size=size)
for setup in pickle.load(sys.stdin.buffer):
    fit(setup, World())
dist.destroy_process_group()
"""


def launch(*setups: TrainSetup, size: int, folder: Path, faults: tuple[str, ...] = ()) -> list[int]:
    """Run `size` ranks to their end, one training after another; exit status of each."""
    meeting = folder / f"meeting-{os.urandom(4).hex()}"
    ranks = []
    for rank in range(size):
        environment = {**os.environ, "RANK": str(rank), "WORLD_SIZE": str(size)}
        environment |= {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
        if rank < len(faults):
            environment["MEDRAY_FAULTS"] = faults[rank]
        process = subprocess.Popen(
            [sys.executable, "-c", RANK, str(meeting)],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
        )
        assert process.stdin is not None
        process.stdin.write(pickle.dumps(setups))
        process.stdin.close()
        process.stdin = None
        ranks.append(process)
    for process in ranks:
        process.communicate(timeout=300)
    return [process.returncode for process in ranks]
