"""moto's S3 server: light, in memory, in a process of its own."""

import subprocess
import sys
from pathlib import Path

from .process import Server, free_port, listens, wait_until

SCRIPT = Path(__file__).with_name("moto_one_by_one.py")


def start(folder: Path) -> Server:
    """Start it; its log goes below `folder`."""
    port = free_port()
    with (folder / "moto.log").open("wb") as log:
        # -P: the folder of the script holds this module, which has moto's name
        process = subprocess.Popen(
            [sys.executable, "-P", str(SCRIPT), str(port)], stdout=log, stderr=log
        )
    server = Server(f"http://127.0.0.1:{port}", processes=[process])
    try:
        wait_until(lambda: listens(port), "moto listens")
    except BaseException:
        server.stop()
        raise
    return server
