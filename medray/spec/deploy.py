"""How a cluster is made: what `medray cluster render` turns into manifests. No secrets in it."""

from typing import Annotated, Literal

from pydantic import Field

from medray.spec.base import Settings

Text = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/:@-]*$")]

# A file, never a name: whoever takes that name at an index would run on every node.
Wheel = Annotated[str, Field(pattern=r"^[A-Za-z0-9~][A-Za-z0-9._/~+-]*-py3-none-any\.whl$")]


class Nodes(Settings):
    """Nodes of one kind."""

    cpus: int = Field(ge=1)
    memory_gib: int = Field(ge=1)
    gpus: int = Field(0, ge=0)
    fewest: int = Field(0, ge=0, description="kept while nobody needs them")
    most: int = Field(1, ge=0, description="the budget")
    spot: bool = Field(True, description="cheaper, and taken away at any moment")
    labels: dict[str, str] = Field({}, description="that pools ask for")
    machine: Text | None = Field(None, description="instance type; launchers need it")
    disk_gib: int = Field(100, ge=20, description="of launchers' machines, encrypted")


class Kubernetes(Settings):
    """A cluster under the KubeRay operator."""

    kind: Literal["kubernetes"]
    image: Text = Field(description="with medray and its Ray installed")
    namespace: Text = "medray"
    service_account: Text = Field("medray", description="whose role reaches the bucket")
    token_secret: Text = Field("medray-ray-token", description="Secret with the key auth_token")
    storage: str = Field(description="profile or URL that jobs and services use")
    head: Nodes
    workers: dict[Text, Nodes]
    idle_minutes: float = Field(5, gt=0)
    grace_s: int = Field(120, ge=30, description="from the notice to the end of a pod")


class Aws(Settings):
    """A cluster that `ray up` starts on EC2."""

    kind: Literal["aws"]
    region: Text
    image: Text = Field(description="AMI with Python, and with drivers where there are GPUs")
    head_profile: Text = Field("medray-head", description="instance profile that starts workers")
    worker_profile: Text = Field("medray-node", description="instance profile that reads data")
    wheel: Wheel | None = Field(
        None, description="of this medray, to be copied to each node; null: /opt/medray has it"
    )
    tls: bool = Field(
        False, description="between Ray's processes, by the authority in ~/.medray/tls"
    )
    head: Nodes
    workers: dict[Text, Nodes]
    idle_minutes: float = Field(5, gt=0)


class Gcp(Settings):
    """A cluster that `ray up` starts on Compute Engine."""

    kind: Literal["gcp"]
    region: Text
    zone: Text
    project: Text
    image: Text = Field(description="source image, projects/…/global/images/…")
    service_account: Text = Field(description="whose role reaches the bucket")
    wheel: Wheel | None = Field(
        None, description="of this medray, to be copied to each node; null: /opt/medray has it"
    )
    tls: bool = Field(
        False, description="between Ray's processes, by the authority in ~/.medray/tls"
    )
    head: Nodes
    workers: dict[Text, Nodes]
    idle_minutes: float = Field(5, gt=0)


Launcher = Aws | Gcp
AnyDeploy = Annotated[Kubernetes | Aws | Gcp, Field(discriminator="kind")]
