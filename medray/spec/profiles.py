"""Cluster profiles: where it runs."""

from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, field_validator, model_validator

from medray.spec.base import Settings
from medray.spec.check import ByKind
from medray.spec.deploy import AnyDeploy
from medray.spec.kinds import KINDS


def _known(name: str) -> str:
    if name not in KINDS:
        raise ValueError(f"there is no kind of step {name!r}: {', '.join(KINDS.names())}")
    return name


Kind = Annotated[str, AfterValidator(_known)]


class Pool(Settings):
    """Workers of one kind of step."""

    workers: tuple[int, int] | int | None = Field(
        None, description="how many, or [fewest, most]; null: as many as the CPUs allow"
    )
    cpus: float = Field(1, gt=0, description="of each worker")
    gpus: float = Field(0, ge=0, description="of each worker")
    memory_bytes: int | None = Field(
        None, ge=1, description="a worker beyond it is killed and its unit tried again"
    )
    labels: dict[str, str] = Field({}, description="of the nodes that may hold a worker")

    @field_validator("workers")
    @classmethod
    def _in_order(cls, value: tuple[int, int] | int | None) -> tuple[int, int] | int | None:
        low, high = value if isinstance(value, tuple) else (value, value)
        if low is not None and high is not None and not 1 <= low <= high:
            raise ValueError("give a number from 1, or [fewest, most]")
        return value


class Inline(Settings):
    """In this process, without Ray."""

    kind: Literal["inline"]
    threads: int = Field(1, ge=1, description="of a unit's mathematics")
    defaults: dict[Kind, dict[str, Any]] = Field(
        {}, description="of steps by kind; jobs override them"
    )

    def pool(self, kind: str) -> Pool:
        """Workers of steps of a kind: this process."""
        return Pool(workers=1, cpus=self.threads)


class Local(Settings):
    """On a Ray of this machine's own, started for the run and stopped after it."""

    kind: Literal["local"]
    workers: int | None = Field(None, ge=1, description="null: as many as the CPUs allow")
    cpus_per_worker: float = Field(1, gt=0)
    gpus_per_worker: float = Field(0, ge=0)
    memory_bytes_per_worker: int | None = Field(
        None, ge=1, description="a worker beyond it is killed and its unit tried again"
    )
    defaults: dict[Kind, dict[str, Any]] = Field(
        {}, description="of steps by kind; jobs override them"
    )

    def pool(self, kind: str) -> Pool:
        """Workers of steps of a kind: the same for all."""
        return Pool(
            workers=self.workers,
            cpus=self.cpus_per_worker,
            gpus=self.gpus_per_worker,
            memory_bytes=self.memory_bytes_per_worker,
        )


LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_SECRET = (
    "SECRET",
    "TOKEN",
    "PASSWORD",
    "PASSWD",
    "CREDENTIAL",
    "PRIVATE",
    "ACCESS_KEY",
    "API_KEY",
)


def is_secret(name: str) -> bool:
    """Whether a variable's name says that its value is not to be seen."""
    return any(word in name.upper() for word in _SECRET)


class RayCluster(Settings):
    """A Ray that is there already, reached through its Jobs API; jobs go there by `submit`."""

    kind: Literal["ray"]
    address: str = Field(
        "http://127.0.0.1:8265", description="of Ray's dashboard; see `token_file`"
    )
    token_file: str = Field(
        "~/.medray/ray-token", description="the cluster's token, readable by its owner alone"
    )
    ca_file: str | None = Field(None, description="of who signed the dashboard's certificate")
    working_dir: str | None = Field(None, description="folder to ship with a run, for plugins")
    medray: Literal["shipped", "installed"] = Field(
        "shipped", description="these sources travel with each run, or the nodes have medray"
    )
    python: str = Field("python", description="interpreter on the nodes")
    forward: tuple[str, ...] = Field((), description="environment variables to pass on; no secrets")
    grows: bool = Field(
        False, description="nodes come when they are asked for; with `deploy` they always do"
    )
    max_runs: int = Field(4, ge=1, description="side by side; others wait in storage")
    priority: int = Field(0, description="of runs that name none; higher goes first")
    pools: dict[Kind, Pool] = Field({}, description="workers by kind of step")
    default_pool: Pool = Field(
        Pool.model_construct(workers=1), description="of kinds not in `pools`"
    )
    defaults: dict[Kind, dict[str, Any]] = Field(
        {}, description="of steps by kind; jobs override them"
    )
    deploy: AnyDeploy | None = Field(None, description="what `medray cluster render` makes of it")

    def pool(self, kind: str) -> Pool:
        """Workers of steps of a kind."""
        return self.pools.get(kind, self.default_pool)

    @field_validator("address")
    @classmethod
    def _safe(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/"):
            raise ValueError("give http://host:port or https://host:port")
        if parts.username or parts.password:
            raise ValueError("a token stands in its own file, never in the address")
        if parts.scheme == "http" and parts.hostname not in LOOPBACK:
            raise ValueError("beyond loopback TLS is needed: https://…, or a tunnel to 127.0.0.1")
        return value.rstrip("/")

    @field_validator("forward")
    @classmethod
    def _public(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if is_secret(name):
                raise ValueError(f"{name} looks like a secret, and Ray shows a job's environment")
        return value

    @model_validator(mode="after")
    def _sized(self) -> Self:
        for kind, pool in (*self.pools.items(), ("default_pool", self.default_pool)):
            if pool.workers is None:
                raise ValueError(f"{kind}: on a cluster, say how many workers")
        return self


Cluster = Inline | Local | RayCluster
CLUSTER: ByKind[Cluster] = ByKind({"inline": Inline, "local": Local, "ray": RayCluster})
