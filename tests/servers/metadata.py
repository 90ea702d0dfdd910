"""A cloud's metadata service as a node sees it: EC2's (version 2 alone) and Compute Engine's."""

import contextlib
import json
import secrets
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ROLES = "/latest/meta-data/iam/security-credentials/"


@dataclass
class Metadata:
    """What it would say.

    Args:
        url: of the service.
        time: when the node goes, as EC2 writes it; empty: no notice was given.
        tokens: given out and still good.
        asked: (method, path) of every request, in order.
        keys: of the machine's role, as EC2 writes them; empty: it has no role.
    """

    url: str
    time: str = ""
    tokens: set[str] = field(default_factory=set)
    asked: list[tuple[str, str]] = field(default_factory=list)
    keys: dict[str, str] = field(default_factory=dict)


@contextlib.contextmanager
def a_metadata_service() -> Iterator[Metadata]:
    """The service on a free port of loopback."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            return

        def do_PUT(self) -> None:
            service.asked.append(("PUT", self.path))
            given = self.headers.get("X-aws-ec2-metadata-token-ttl-seconds", "")
            if self.path != "/latest/api/token" or not given.isdigit():
                self._say(400)
                return
            token = secrets.token_hex(8)
            service.tokens.add(token)
            self._say(200, token)

        def do_GET(self) -> None:
            service.asked.append(("GET", self.path))
            if self.path == "/computeMetadata/v1/instance/preempted":
                flavoured = self.headers.get("Metadata-Flavor") == "Google"
                self._say(200 if flavoured else 403, "TRUE" if service.time else "FALSE")
            elif self.headers.get("X-aws-ec2-metadata-token") not in service.tokens:
                self._say(401)
            elif self.path == "/latest/meta-data/spot/instance-action" and service.time:
                self._say(200, json.dumps({"action": "terminate", "time": service.time}))
            elif self.path == ROLES and service.keys:
                self._say(200, "medray-node")
            elif self.path == f"{ROLES}medray-node":
                self._say(200, json.dumps({"Code": "Success", "Type": "AWS-HMAC", **service.keys}))
            else:
                self._say(404)

        def _say(self, status: int, text: str = "") -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    service = Metadata(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield service
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
