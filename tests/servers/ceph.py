"""A one-node Ceph in memory with its object gateway: a real S3 server. Starts in about 15 s.

`make system-packages` installs it; no service of its packages is used.
"""

import os
import shutil
import subprocess
import time
import uuid
from pathlib import Path

from .process import Server, end, free_port, listens, wait_until

TRIES = 5
CONFIGURATION = """\
[global]
fsid = {fsid}
mon_host = [v1:127.0.0.1:{mon_port}]
mon_initial_members = a
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
public_network = 127.0.0.0/8
cluster_network = 127.0.0.0/8
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 8
osd_pool_default_pgp_num = 8
osd_crush_chooseleaf_type = 0
mon_allow_pool_size_one = true
mon_warn_on_pool_no_redundancy = false
run_dir = {folder}
log_file = {folder}/$name.log
pid_file = {folder}/$name.pid
admin_socket = {folder}/$name.asok
mon_data = {folder}/mon
mgr_data = {folder}/mgr
osd_data = {folder}/osd
osd_class_update_on_start = false
osd_crush_update_on_start = false
osd_objectstore = memstore
memstore_device_bytes = 4294967296
osd_max_object_name_len = 256
osd_max_object_namespace_len = 64
ms_bind_msgr2 = false
ms_bind_ipv6 = false
[client.rgw]
rgw_frontends = beast endpoint=127.0.0.1:{port} tcp_nodelay=1
rgw_thread_pool_size = 32
"""


def start(folder: Path) -> Server:
    """Start it below an empty folder whose path is short, as sockets lie there."""
    port, mon_port, fsid = free_port(), free_port(), str(uuid.uuid4())
    for name in ("mon", "mgr", "osd"):
        (folder / name).mkdir(parents=True)
    configuration = folder / "ceph.conf"
    configuration.write_text(
        CONFIGURATION.format(fsid=fsid, folder=folder, port=port, mon_port=mon_port)
    )

    # The programs are the system's; this process's Python must not get in their way.
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    environment["CEPH_CONF"] = str(configuration)

    def call(*command: str) -> None:
        for left in reversed(range(TRIES)):
            done = subprocess.run(command, capture_output=True, timeout=60, env=environment)
            if done.returncode == 0:
                return
            # A client quicker than its map of the monitors is now and then told "wrong fsid".
            if not left or b"EPERM" not in done.stderr:
                raise RuntimeError(f"{command}: {done.stderr.decode()[-2000:]}")
            time.sleep(1)

    server = Server(f"http://127.0.0.1:{port}")
    try:
        address = f"[v1:127.0.0.1:{mon_port}]"
        monmap, osd = str(folder / "monmap"), str(uuid.uuid4())
        call("monmaptool", "--create", "--clobber", "--fsid", fsid, "--addv", "a", address, monmap)
        call("ceph-mon", "--mkfs", "-i", "a", "--monmap", monmap)
        call("ceph-mon", "-i", "a")
        wait_until(lambda: listens(mon_port), "the monitor listens")
        call("ceph-mgr", "-i", "a")
        call("ceph", "osd", "new", osd, "0")
        call("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", osd)
        call("ceph", "osd", "crush", "add", "osd.0", "1", "root=default")
        call("ceph-osd", "-i", "0")
        call("radosgw", "-n", "client.rgw")
        wait_until(lambda: listens(port), "the gateway listens")
        keys = ("--access-key", server.access_key, "--secret-key", server.secret_key)
        call("radosgw-admin", "user", "create", "--uid=medray", "--display-name=medray", *keys)
    except BaseException:
        end(_pids(folder))
        raise
    server.pids = _pids(folder)
    return server


def _pids(folder: Path) -> list[int]:
    files = [folder / f"{name}.pid" for name in ("client.rgw", "osd.0", "mgr.a", "mon.a")]
    return [int(file.read_text()) for file in files if file.exists()]


if __name__ == "__main__":
    import tempfile

    place = Path(tempfile.mkdtemp(prefix="ceph-"))
    running = start(place / "c")
    print(running, place, flush=True)  # noqa: T201
    try:
        time.sleep(36_000)
    finally:
        running.stop()
        shutil.rmtree(place)
