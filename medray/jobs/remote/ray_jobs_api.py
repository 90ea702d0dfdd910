"""Ray's Jobs API over plain HTTP. Importing Ray for it would cost ten times what a call does."""

import http.client
import json
import os
import random
import ssl
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote, urlsplit

from medray.clock import SYSTEM, Clock
from medray.errors import RetryableError, SpecError
from medray.spec.profiles import RayCluster

ENDED = frozenset({"SUCCEEDED", "FAILED", "STOPPED"})
PATIENCE_S = 20.0  # a head that restarts is back by then
TIMEOUT_S = 30.0
TOKEN_FILE = "RAY_AUTH_TOKEN_PATH"  # noqa: S105 - a name, not the token


class RayJobs:
    """The Jobs API of one cluster.

    Every call may be sent again after a lost reply; `submit` says so of itself by the id it gives.

    Args:
        address: http://host:port or https://host:port of the dashboard.
        token: bearer token.
        ca_file: of who signed the certificate; None: those the system trusts.
        patience_s: for how long a call is tried again.
        clock: waits between tries.
    """

    def __init__(
        self,
        address: str,
        token: str,
        *,
        ca_file: str | None = None,
        patience_s: float = PATIENCE_S,
        clock: Clock = SYSTEM,
    ) -> None:
        self.address = address
        parts = urlsplit(address)
        self._host, self._port = parts.hostname or "", parts.port
        self._tls: ssl.SSLContext | None = None
        if parts.scheme == "https":
            self._tls = ssl.create_default_context(cafile=ca_file)
        self._headers = {"Authorization": f"Bearer {token}", "User-Agent": "medray"}
        self._patience_s, self._clock = patience_s, clock
        self._line: http.client.HTTPConnection | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._hang_up()

    def version(self) -> dict[str, Any]:
        """What the cluster says of itself: `ray_version`, `session_name` and others."""
        return dict(json.loads(self._call("GET", "/api/version")[1]))

    def nodes(self) -> list[dict[str, Any]]:
        """The nodes that are there: `resources_total` and `labels` of each."""
        answer = json.loads(self._call("GET", "/api/v0/nodes?detail=true")[1])
        found = answer["data"]["result"]["result"]
        return [dict(node) for node in found if node["state"] == "ALIVE"]

    def has_package(self, name: str) -> bool:
        """Whether the cluster holds a package; one that it holds is kept for minutes from now."""
        return self._call("GET", f"/api/packages/gcs/{quote(name)}")[0] == 200

    def put_package(self, name: str, data: bytes) -> None:
        """Upload a package, later named `gcs://<name>`."""
        self._call("PUT", f"/api/packages/gcs/{quote(name)}", data)

    def submit(self, request: dict[str, Any]) -> None:
        """Start a job; one whose `submission_id` the cluster has already is left as it is.

        Raises:
            SpecError: Ray refuses the request (code "refused-by-ray").
        """
        self._call("POST", "/api/jobs/", json.dumps(request).encode(), known="already exists")

    def job(self, submission: str) -> dict[str, Any] | None:
        """What Ray says of a job: `status`, `message`, `driver_exit_code`; None: it knows none."""
        status, body = self._call("GET", f"/api/jobs/{quote(submission)}")
        return None if status == 404 else dict(json.loads(body))

    def output(self, submission: str) -> str:
        """What a job's driver has printed up to now; empty where Ray has lost it."""
        status, body = self._call("GET", f"/api/jobs/{quote(submission)}/logs")
        return "" if status == 404 else str(json.loads(body).get("logs") or "")

    def _call(
        self, method: str, path: str, body: bytes | None = None, known: str = ""
    ) -> tuple[int, bytes]:
        """Status and body; `known` in the text of a refusal means that it is no refusal."""
        until = self._clock.monotonic() + self._patience_s
        pause = 0.1
        while True:
            cause: BaseException | None = None
            try:
                status, answer = self._once(method, path, body)
            except (OSError, http.client.HTTPException) as error:
                status, answer, cause = 0, type(error).__name__.encode(), error
                self._hang_up()
                if isinstance(error, ssl.SSLCertVerificationError):
                    raise self._untrusted() from error
            if known and status >= 400 and known.encode() in answer:
                return 200, answer
            if status in (401, 403):
                raise self._unauthorised(status)
            if 200 <= status < 300 or (status == 404 and method == "GET"):
                return status, answer
            if 400 <= status < 500:
                raise self._refused(path, status)
            if self._clock.monotonic() + pause > until:
                raise self._unreachable(status, answer) from cause
            self._clock.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(2 * pause, 3.0)

    def _once(self, method: str, path: str, body: bytes | None) -> tuple[int, bytes]:
        if self._line is None:
            if self._tls is None:
                self._line = http.client.HTTPConnection(self._host, self._port, timeout=TIMEOUT_S)
            else:
                self._line = http.client.HTTPSConnection(
                    self._host, self._port, timeout=TIMEOUT_S, context=self._tls
                )
        kind = "application/octet-stream" if method == "PUT" else "application/json"
        self._line.request(method, path, body, {**self._headers, "Content-Type": kind})
        answer = self._line.getresponse()
        return answer.status, answer.read()

    def _hang_up(self) -> None:
        if self._line is not None:
            self._line.close()
            self._line = None

    def _unauthorised(self, status: int) -> SpecError:
        return SpecError(
            "the cluster asks for a token" if status == 401 else "the cluster refuses the token",
            code="no-token" if status == 401 else "wrong-token",
            about=self.address,
            hint="name the cluster's own token file in the profile: token_file",
        )

    def _untrusted(self) -> SpecError:
        return SpecError(
            "the certificate is not signed by anybody known",
            code="untrusted-certificate",
            about=self.address,
            hint="name who signed it in the profile: ca_file",
        )

    def _refused(self, path: str, status: int) -> SpecError:
        return SpecError(
            f"Ray refuses the request ({status} for {path})",
            code="refused-by-ray",
            about=self.address,
            hint="is it Ray's dashboard, of a version between 2.60 and 2.63?",
        )

    def _unreachable(self, status: int, answer: bytes) -> RetryableError:
        what = f"it answers {status}" if status else answer.decode()
        return RetryableError(
            f"the cluster cannot be reached ({what})",
            code="cluster-unreachable",
            about=self.address,
            hint="is the tunnel open, and the cluster up? Sending it again starts nothing twice",
        )


def connect(profile: RayCluster, patience_s: float = PATIENCE_S) -> RayJobs:
    """The Jobs API of a profile's cluster.

    Raises:
        SpecError: there is no token (code "no-token"), or others may read it ("open-token-file").
    """
    return RayJobs(
        profile.address,
        read_token(profile.token_file),
        ca_file=profile.ca_file,
        patience_s=patience_s,
    )


def read_token(name: str, look: Callable[[str], str | None] = os.environ.get) -> str:
    """The token in a file; without the file, that in the one that RAY_AUTH_TOKEN_PATH names.

    Raises:
        SpecError: see `connect`.
    """
    for place in (name, look(TOKEN_FILE) or ""):
        path = Path(place).expanduser()
        if place and path.is_file():
            if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise SpecError(
                    "others may read the token",
                    code="open-token-file",
                    about=place,
                    hint=f"chmod 600 {place}",
                )
            token = path.read_text().strip()
            if token:
                return token
    raise SpecError(
        "there is no token for the cluster",
        code="no-token",
        about=name,
        hint="copy the cluster's token there, readable by you alone; see docs/clusters.md",
    )
