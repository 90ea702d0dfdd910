"""A small HTTP proxy that forwards every request and loses replies on order."""

import contextlib
import http.client
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit


@dataclass
class Proxy:
    """What passed: (method, path) of each request that the other side has answered.

    Args:
        address: to connect to.
        loses: says of (method, path) whether the reply gets lost.
    """

    address: str
    loses: Callable[[str, str], bool]
    passed: list[tuple[str, str]] = field(default_factory=list)
    lost: list[tuple[str, str]] = field(default_factory=list)

    def posts(self) -> int:
        return sum(method == "POST" for method, _ in self.passed)


@contextlib.contextmanager
def a_proxy(
    target: str,
    loses: Callable[[str, str], bool] = lambda _method, _path: False,
    tls: tuple[Path, Path] | None = None,
) -> Iterator[Proxy]:
    """A proxy to `target` on a free port; with certificate and key it is asked over TLS."""
    to = urlsplit(target)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            return

        def pass_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            line = http.client.HTTPConnection(to.hostname or "", to.port, timeout=30)
            headers = {k: v for k, v in self.headers.items() if k.lower() != "host"}
            line.request(self.command, self.path, body, headers)
            answer = line.getresponse()
            data = answer.read()
            line.close()
            proxy.passed.append((self.command, self.path))
            if proxy.loses(self.command, self.path):
                proxy.lost.append((self.command, self.path))
                self.close_connection = True
                return
            self.send_response(answer.status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PUT = pass_on

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if tls is not None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(*tls)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    scheme = "https" if tls else "http"
    proxy = Proxy(f"{scheme}://127.0.0.1:{server.server_address[1]}", loses)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield proxy
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
