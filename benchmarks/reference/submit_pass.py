"""Submit a job that does nothing to Ray's Jobs API and wait for its end, with as little as can be.

RAY_AUTH_TOKEN_PATH=TOKEN_FILE python submit_pass.py http://HOST:PORT
"""

import http.client
import json
import os
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

token = Path(os.environ["RAY_AUTH_TOKEN_PATH"]).read_text()
headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
line = http.client.HTTPConnection(urlsplit(sys.argv[1]).netloc)


def call(method: str, path: str, body: str | None = None) -> dict[str, str]:
    """What Ray answers."""
    line.request(method, path, body, headers)
    answer: dict[str, str] = json.loads(line.getresponse().read())
    return answer


entrypoint = f"{sys.executable} -c pass"
job = call("POST", "/api/jobs/", json.dumps({"entrypoint": entrypoint}))["submission_id"]
while (state := call("GET", f"/api/jobs/{job}")["status"]) in ("PENDING", "RUNNING"):
    time.sleep(0.05)
sys.exit(state != "SUCCEEDED")
