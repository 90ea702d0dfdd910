"""HTTP in this process: a socket, and a thread that answers who connects to it."""

import contextlib
import functools
import logging
import resource
import socket
import ssl
import threading
import time
from collections.abc import Iterator

import uvicorn
from starlette.types import ASGIApp

from medray.errors import RetryableError, SpecError
from medray.serving.lines import Limits, Line

# Longer than the minute after which load balancers drop a line that is idle: else a request may
# come on one that is just being closed.
KEEP_ALIVE_S = 75


def bind(host: str, port: int) -> socket.socket:
    """A socket that has the address; nobody is answered yet.

    Raises:
        RetryableError: somebody else has it, or it is not ours (code "address-taken").
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family)
    try:
        # Lines of a process that has ended may linger there.
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        raise RetryableError(
            f"cannot listen there ({error.strerror})",
            code="address-taken",
            about=f"{host}:{port}",
            hint="give another --port, or find out who listens there",
        ) from error
    return bound


@contextlib.contextmanager
def listening(
    app: ASGIApp,
    bound: socket.socket,
    tls: tuple[str, str] | None,
    grace_s: float,
    limits: Limits,
) -> Iterator[None]:
    """Answer by `app` until the context is left; who is being answered then still is.

    Args:
        app: see `medray.serving.http.make_app`.
        bound: see `bind`; closed on leaving.
        tls: files of certificate and key.
        grace_s: for answers that are under way on leaving.
        limits: of lines to clients; no more of them than there are files that may be opened.

    Raises:
        SpecError: certificate or key are unusable (code "bad-tls").
    """
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    limits.lines = min(limits.lines, files // 2)
    # Of what is no HTTP it would print a line each; what went wrong is counted, and answered.
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
    config = uvicorn.Config(
        app,
        http=functools.partial(Line, limits=limits),  # type: ignore[arg-type]
        ssl_certfile=tls[0] if tls else None,
        ssl_keyfile=tls[1] if tls else None,
        lifespan="off",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=int(grace_s) + 1,
    )
    with bound:
        try:
            config.load()
        except (ssl.SSLError, OSError) as error:
            raise SpecError(
                f"certificate and key cannot be used ({type(error).__name__})",
                code="bad-tls",
                about=", ".join(tls or ()),
                hint="both in PEM, the key without a passphrase and of this certificate",
            ) from error
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([bound],), name="http", daemon=True)
        thread.start()
        try:
            while thread.is_alive() and not server.started:
                time.sleep(0.01)
            yield
        finally:
            server.should_exit = True
            thread.join()
