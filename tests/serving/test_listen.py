"""HTTP in this process: addresses, TLS, and the end of it."""

import threading
import time
from pathlib import Path

import pytest
from endpoint import Client
from fastapi import FastAPI

from medray.errors import RetryableError, SpecError
from medray.serving.lines import Limits
from medray.serving.listen import bind, listening


def _app(seconds: float = 0.0) -> FastAPI:
    app = FastAPI()

    @app.get("/slow")
    def slow() -> str:
        time.sleep(seconds)
        return "done"

    return app


def test_an_address_that_somebody_has_is_refused() -> None:
    with bind("127.0.0.1", 0) as first:
        first.listen()
        with pytest.raises(RetryableError) as caught:
            bind("127.0.0.1", first.getsockname()[1])
        assert caught.value.code == "address-taken"


def test_what_is_under_way_is_answered_before_the_end_and_nothing_after_it() -> None:
    bound = bind("127.0.0.1", 0)
    client, found = Client(bound.getsockname()[1], ""), []
    asking = threading.Thread(target=lambda: found.append(client.ask("GET", "/slow")))
    with listening(_app(0.5), bound, None, 10, Limits(100)):
        assert client.ask("GET", "/none").status == 404
        asking.start()
        time.sleep(0.2)
    asking.join()
    (answer,) = found
    assert (answer.status, answer.json) == (200, "done")
    assert "server" not in answer.headers
    with pytest.raises(ConnectionError):
        client.ask("GET", "/slow")


def test_a_certificate_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pem").write_text("none")
    bound = bind("127.0.0.1", 0)
    files = (str(tmp_path / "pem"), str(tmp_path / "pem"))
    with pytest.raises(SpecError) as caught, listening(_app(), bound, files, 1, Limits(100)):
        pass
    assert caught.value.code == "bad-tls"
    assert bound.fileno() == -1
