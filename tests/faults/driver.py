"""A driver to be killed: runs toy units as a job does, publishes, prints what it made as JSON.

    python driver.py '{"root": …, "groups": [[key, …], …], "parameters": {…}, "mode": "ray", …}'

Exit status as of `medray run`: 0 done, 4 stopped and resumable, else what the failed units ask for.
"""

import json
import signal
import sys
import threading
from typing import Any

import toy

from medray.engine.units.inline import run_inline
from medray.engine.units.worker import Receipt, WorkerSpec
from medray.ids import attempt_id
from medray.storage.catalog.ledger import Ledger
from medray.storage.catalog.publish import publish
from medray.storage.store.objects import Objects

NAME = "toys"


def main(job: dict[str, Any], stop: threading.Event) -> tuple[int, dict[str, Any]]:
    """Do the job; returns the exit status and what to print last."""
    objects = Objects(job["root"])
    planned = toy.units(job["groups"], job["parameters"])
    spec = WorkerSpec(
        "toy:Toy",
        job["parameters"],
        objects,
        NAME,
        session="" if job["mode"] == "inline" else attempt_id(),
        unit_timeout_s=job.get("unit_timeout_s", 60),
    )
    ledger = Ledger(objects, NAME)
    done = ledger.done()
    todo = [unit for unit in planned if unit.id not in done]
    receipts: list[Receipt] = []

    def take(receipt: Receipt) -> None:
        receipts.append(receipt)
        say({"unit": receipt.index, "state": receipt.state})

    if job["mode"] != "inline":
        from medray.cluster.batch import run_on_ray
        from medray.cluster.session import start_local

        with start_local(num_cpus=job.get("workers", 2)):
            run_on_ray(
                spec,
                todo,
                take,
                stop,
                workers=job.get("workers", 2),
                memory_bytes=job.get("memory_bytes"),
                grace_s=job.get("grace_s", 30),
                bulk=job["mode"] == "bulk",
            )
    else:
        run_inline(spec, todo, take, stop)
    failed = [receipt for receipt in receipts if receipt.state == "failed"]
    if failed:
        return failed[0].exit_status, {"errors": sorted({item.error for item in failed})}
    if any(receipt.state == "drained" for receipt in receipts):
        return 4, {"drained": sum(receipt.state == "drained" for receipt in receipts)}
    made = publish(
        objects,
        NAME,
        kind="ingest",
        spec="drill",
        commits=ledger.committed(unit.id for unit in planned),
        refused=[],
        parents=[],
    )
    made.check()
    return 0, {
        "version": made.version,
        "digest": made.digest,
        "samples": len(made),
        "quarantined": sorted(made.quarantine()["code"].to_pylist()),
        "computed": sum(receipt.state == "committed" for receipt in receipts),
    }


def say(line: dict[str, Any]) -> None:
    """Print a line for whoever started this driver."""
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    status, last = main(json.loads(sys.argv[1]), stopping)
    say(last)
    sys.exit(status)
