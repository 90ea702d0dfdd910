"""A script: moto's server on a port of 127.0.0.1, which answers requests one by one.

moto 5.2.5 serves each request on a thread, and looks whether an object is there before it stores
one: of two conditional puts at once both may be told that they won, which no store of objects does.
"""

import sys
from collections.abc import Callable, Iterable
from threading import Lock
from typing import Any

from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from werkzeug.serving import run_simple

answer = DomainDispatcherApplication(create_backend_app)
turn = Lock()


def one_by_one(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
    """moto's answer, made while no other is."""
    with turn:
        return list(answer(environ, start))


if __name__ == "__main__":
    run_simple(
        "127.0.0.1",
        int(sys.argv[1]),
        one_by_one,
        threaded=True,
        request_handler=MotoRequestHandler,
    )
