"""TLS to a real dashboard, behind a proxy that speaks it, and among the processes of a real Ray."""

import socket
import ssl
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest
from head import Head, start_head
from proxy import a_proxy

from medray.errors import SpecError
from medray.jobs.follow import attend
from medray.jobs.provision.capacity import cluster_checks
from medray.jobs.provision.ray_up import CERTIFY
from medray.jobs.remote.ray_jobs_api import connect
from medray.jobs.submit import ray_profile, submit
from medray.storage.store.objects import Objects

pytestmark = [pytest.mark.drill, pytest.mark.timeout(400)]


@pytest.fixture
def tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What docs/security.md makes once, and every node of a launcher for itself."""
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = tmp_path / ".medray/tls"
    folder.mkdir(parents=True, mode=0o700)
    authority = (
        f"openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=medray -days 2 "
        f"-keyout {folder}/ca.key -out {folder}/ca.crt"
    )
    for command in (authority, CERTIFY):
        subprocess.run(["bash", "-euc", command], check=True, capture_output=True)
    return folder


def test_a_dashboard_behind_tls(head: Head, job: dict[str, Any], tls: Path, tmp_path: Path) -> None:
    store = str(tmp_path / "store")
    with a_proxy(head.address, tls=(tls / "node.crt", tls / "node.key")) as proxy:
        assert proxy.address.startswith("https://")
        strange = head.profile(tmp_path / "strange.yaml", address=proxy.address)
        with pytest.raises(SpecError) as caught:
            submit(job, cluster=strange, storage=store)
        assert caught.value.code == "untrusted-certificate"
        assert proxy.passed == [], "the token went nowhere"
        known = {"address": proxy.address, "ca_file": str(tls / "ca.crt")}
        cluster = head.profile(tmp_path / "known.yaml", **known)
        checks = cluster_checks(cluster)
        assert checks["cluster"]()[0]
        assert checks["token"]() == (True, "whoever has none is refused")
        assert _committed(job, cluster, store) == 8


def test_processes_of_ray_speak_tls_by_the_launchers_certificates(
    job: dict[str, Any], tls: Path, tmp_path: Path
) -> None:
    environment = {
        "RAY_USE_TLS": "1",
        "RAY_TLS_SERVER_CERT": str(tls / "node.crt"),
        "RAY_TLS_SERVER_KEY": str(tls / "node.key"),
        "RAY_TLS_CA_CERT": str(tls / "ca.crt"),
    }
    head = start_head(tmp_path / "token", env=environment)
    try:
        assert _committed(job, head.profile(tmp_path / "c.yaml"), str(tmp_path / "store")) == 8
        context = ssl.create_default_context(cafile=str(tls / "ca.crt"))
        context.set_alpn_protocols(["h2"])
        assert _says(head.gcs, context) == b"", "who has no certificate hears nothing"
        context.load_cert_chain(tls / "node.crt", tls / "node.key")
        assert _says(head.gcs, context) != b""
        with pytest.raises(ssl.SSLCertVerificationError):
            _says(head.gcs, ssl.create_default_context())
    finally:
        head.kill()


def _committed(job: dict[str, Any], cluster: str, store: str) -> int:
    """Inputs that a submitted job committed."""
    sent = submit(job, cluster=cluster, storage=store)
    with connect(ray_profile(cluster)) as jobs:
        ended = attend(
            Objects(store), jobs, sent.submission, lambda _event: None, threading.Event()
        )
    assert ended is not None
    return ended.steps[0].units.committed


def _says(address: str, context: ssl.SSLContext) -> bytes:
    """The first bytes of an HTTP/2 server; none if it hangs up."""
    host, port = address.split(":")
    with socket.create_connection((host, int(port)), 10) as line:
        try:
            with context.wrap_socket(line, server_hostname=host) as speaking:
                speaking.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0")
                return speaking.recv(100)
        except ssl.SSLCertVerificationError:
            raise
        except (ssl.SSLError, ConnectionError):
            return b""
