"""Bulk jobs that an endpoint was asked for: each is `medray run` in a process of its own."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from medray.errors import DataError, RetryableError, SpecError
from medray.ids import short
from medray.spec.check import check
from medray.spec.kinds import STEP

MOST = 2  # side by side: each has a driver of some 300 MB


@dataclass
class _Job:
    process: subprocess.Popen[bytes]
    step: dict[str, Any]
    folder: Path = field(default_factory=Path)


class Bulk:
    """Starts bulk jobs and says how they are. The truth of a run stands in storage.

    Args:
        storage: profile, URL or folder, as `medray run --storage` takes it.
        models: name → reference of those that are served.
        workers: replicas that the units go to, at most.
        ray_address: of the Ray that the replicas are on.
    """

    def __init__(
        self, storage: str | None, models: dict[str, str], workers: int, ray_address: str
    ) -> None:
        self._storage, self._models, self._workers = storage, models, workers
        self._environment = {**os.environ, "RAY_ADDRESS": ray_address}
        self._jobs: dict[str, _Job] = {}

    def start(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Start a job, or find the one that does the same.

        Args:
            asked: fields of a step that replicas can do: model, data, output and what else there
                is; of kind predict, unless it says another.

        Raises:
            DataError: a field is wrong ("bad-field"), or the model is not served ("no-such-model").
            RetryableError: too many are under way (code "busy").
        """
        try:
            spec = check(STEP, {"kind": "predict", **asked}, lambda *at: ".".join(map(str, at)))
        except SpecError as error:
            raise DataError(f"{error.about}: {error.message}", code=error.code) from error
        step = spec.model_dump(mode="json")
        if not {"model", "engine"} <= set(step):
            raise DataError("kind: replicas do no units of such a step", code="bad-field")
        reference = self._models.get(step["model"].partition("@")[0])
        if reference is None or step["model"] not in (reference, reference.partition("@")[0]):
            raise DataError("no such model is served here", code="no-such-model")
        step |= {"model": reference, "engine": "serve"}
        job = short(step)[:12]
        known = self._jobs.get(job)
        # One that has ended runs again: the dataset may have grown, and what is done is skipped.
        if known is None or known.process.poll() is not None:
            if sum(one.process.poll() is None for one in self._jobs.values()) >= MOST:
                raise RetryableError("too many bulk jobs are under way", code="busy")
            self._jobs[job] = self._spawn(job, step)
        return self.look(job)

    def look(self, job: str) -> dict[str, Any]:
        """State and result of a job: what `medray run --json` printed.

        Raises:
            DataError: it was not started here (code "no-such-job").
        """
        known = self._jobs.get(job)
        if known is None:
            raise DataError(
                "no such job was started here",
                code="no-such-job",
                hint="ask for it again: what is committed stays; `medray runs` lists all",
            )
        status = known.process.poll()
        state = "running" if status is None else "failed" if status else "done"
        answer: dict[str, Any] = {
            "job": job, "state": state, "output": known.step["output"],
            "model": known.step["model"],
        }  # fmt: skip
        if status is not None:
            with contextlib.suppress(ValueError, OSError):
                answer["result"] = json.loads((known.folder / "result.json").read_text())
        return answer

    @cached_property
    def _folder(self) -> Path:
        return Path(tempfile.mkdtemp(prefix="medray-bulk-"))

    def _spawn(self, job: str, step: dict[str, Any]) -> _Job:
        folder = self._folder / job
        folder.mkdir(exist_ok=True)
        profile = {"kind": "ray", "default_pool": {"workers": self._workers}}
        # JSON is YAML.
        (folder / "cluster.yaml").write_text(json.dumps(profile))
        (folder / "job.yaml").write_text(json.dumps(step))
        command = [
            sys.executable, "-m", "medray", "run", str(folder / "job.yaml"), "--json",
            "--no-report", "--cluster", str(folder / "cluster.yaml"),
            *(["--storage", self._storage] if self._storage else []),
        ]  # fmt: skip
        with (folder / "result.json").open("wb") as out, (folder / "log").open("wb") as log:
            process = subprocess.Popen(  # noqa: S603 - our own interpreter, checked values
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=log,
                env=self._environment,
                cwd=folder,
            )
        return _Job(process, step, folder)

    def close(self) -> None:
        """Ask what is under way to stop; it can be asked for again."""
        running = [one for one in self._jobs.values() if one.process.poll() is None]
        for one in running:
            one.process.terminate()
        if self._jobs and not running:
            shutil.rmtree(self._folder, ignore_errors=True)
