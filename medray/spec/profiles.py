"""Cluster profiles: where it runs."""

from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from medray.spec.base import Settings

Kind = Literal["ingest", "train", "predict", "evaluate", "export"]


class Inline(Settings):
    """In this process, without Ray."""

    kind: Literal["inline"]
    threads: int = Field(1, ge=1, description="of a unit's mathematics")
    defaults: dict[Kind, dict[str, Any]] = Field(
        {}, description="of steps by kind; jobs override them"
    )


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


AnyCluster = Annotated[Inline | Local, Field(discriminator="kind")]
CLUSTER: TypeAdapter[Inline | Local] = TypeAdapter(AnyCluster)
