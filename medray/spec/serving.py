"""Options of an endpoint: what it serves, on how many replicas, and what it refuses."""

from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from medray.spec.base import Reference, Settings

TOKEN_FILE = "~/.medray/serve-tokens"  # noqa: S105 - a place, not a token


class Serving(Settings):
    """An application of several models behind one address. No secrets in it."""

    models: tuple[Reference, ...] = Field(min_length=1, description="name or name@version")
    storage: str | None = Field(None, description="profile, URL or folder; null: the default")
    token_file: str = Field(TOKEN_FILE, description="hashes of the tokens, on the ingress's node")
    replicas: tuple[int, int] | int = Field(1, description="of each model, or [fewest, most]")
    together: int = Field(
        0, ge=0, description="models that one replica holds; 0: replicas are each model's own"
    )
    cpus: float = Field(1, gt=0, description="of each replica")
    gpus: float = Field(0, ge=0, description="of each replica")
    batch: int = Field(8, ge=1, description="samples, or windows of one image, at once")
    batch_wait_s: float = Field(0.005, ge=0, description="for a batch of samples to fill")
    queue: int = Field(64, ge=1, description="requests to a model that wait; more get status 503")
    wait: float = Field(
        0.5, gt=0, description="of the time of an answer; who would wait longer gets status 503"
    )
    lines: int = Field(1000, ge=1, description="to clients, open at once")
    timeout_s: float = Field(60, gt=0, description="of a request; then status 504")
    body_bytes: int = Field(128 * 2**20, ge=1, description="of a request; larger: status 413")
    decoded_bytes: int = Field(
        2**30, ge=1, description="of a request's samples, decoded; larger: status 413"
    )
    held_bytes: int = Field(2**30, ge=1, description="of all bodies under way; more: status 503")
    precision: Literal["fp32", "bf16"] = "fp32"
    options: dict[str, dict[str, Any]] = Field(
        {}, description="by the name of a model: what a predict step says of it beside these"
    )
    guides: dict[str, Reference] = Field(
        {}, description="by the name of a model of a cascade: the coarse one whose masks guide it"
    )
    bulk: bool = Field(True, description="whether POST /v1/bulk starts jobs")

    @model_validator(mode="after")
    def _holds_one(self) -> Self:
        if self.held_bytes < self.body_bytes:
            raise ValueError("held_bytes is less than body_bytes: a long body would never be taken")
        return self

    @field_validator("replicas")
    @classmethod
    def _in_order(cls, value: tuple[int, int] | int) -> tuple[int, int] | int:
        low, high = value if isinstance(value, tuple) else (value, value)
        if not 1 <= low <= high:
            raise ValueError("give a number from 1, or [fewest, most]")
        return value

    @field_validator("models")
    @classmethod
    def _one_each(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        names = [reference.partition("@")[0] for reference in value]
        if len(set(names)) < len(names):
            raise ValueError("two versions of one model: an address has one answer")
        return value
