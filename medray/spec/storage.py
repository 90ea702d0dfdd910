"""The storage profile: where the bytes live, and by which right they are reached."""

from ipaddress import ip_address
from typing import Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, TypeAdapter, ValidationError, field_validator, model_validator

from medray.errors import SpecError
from medray.spec.base import Settings
from medray.spec.urls import refuse_userinfo


class Storage(Settings):
    """A folder, or a bucket of an S3 service. No secrets stand here, only where they come from."""

    url: str = Field(description="a folder, file:///folder, or s3://bucket/prefix")
    endpoint: str | None = Field(None, description="URL of the S3 service; null: Amazon's")
    region: str = Field("us-east-1", description="of the bucket")
    credentials: Literal["env", "file", "instance", "assume-role"] = Field(
        "env",
        description="env: AWS_ACCESS_KEY_ID and so on; file: ~/.aws, of the profile AWS_PROFILE; "
        "instance: of the machine, pod or container; assume-role: role_arn, by whatever of these "
        "there is",
    )
    role_arn: str | None = Field(None, description="role to assume")
    encryption: Literal["none", "sse-s3", "sse-kms"] = Field(
        "none", description="asked of the service for every object; none: as the bucket says"
    )
    kms_key: str | None = Field(None, description="id or ARN of the key of sse-kms")
    concurrency: int = Field(8, ge=1, le=256, description="requests at a time, of one unit")
    retries: int = Field(10, ge=0, le=100, description="of a request that failed in passing")
    retry_s: float = Field(180, gt=0, le=3600, description="no retry later than this")

    @property
    def is_bucket(self) -> bool:
        """Whether it is a bucket."""
        return self.url.startswith("s3://")

    @property
    def bucket(self) -> str:
        """Name of the bucket."""
        return self.url.removeprefix("s3://").partition("/")[0]

    @property
    def prefix(self) -> str:
        """Prefix of all keys in the bucket, without slashes at its ends."""
        return self.url.removeprefix("s3://").partition("/")[2].strip("/")

    @property
    def plain_http(self) -> bool:
        """Whether nothing encrypts what travels; on loopback only."""
        return (self.endpoint or "").startswith("http://")

    @field_validator("endpoint")
    @classmethod
    def _encrypted_on_the_way(cls, value: str | None) -> str | None:
        if value is None:
            return None
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("an endpoint is https://HOST[:PORT]")
        if parts.username or parts.password:
            raise ValueError("secrets do not stand in a profile; see `credentials`")
        if parts.scheme == "http" and not _is_loopback(parts.hostname):
            raise ValueError("TLS is required except on loopback: https://…")
        return value

    @field_validator("url")
    @classmethod
    def _of_a_kind(cls, value: str) -> str:
        scheme, separator, rest = value.partition("://")
        if separator and scheme not in ("file", "s3", "memory"):
            raise ValueError("a URL of storage begins with file:// or s3://")
        if scheme == "s3" and "@" in rest.partition("/")[0]:
            raise ValueError("secrets do not stand in a URL; see `credentials`")
        if separator and scheme == "s3" and not rest.partition("/")[0]:
            raise ValueError("the bucket is missing: s3://BUCKET/PREFIX")
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if (self.role_arn is not None) != (self.credentials == "assume-role"):
            raise ValueError("role_arn belongs to `credentials: assume-role`, and it to role_arn")
        if (self.kms_key is not None) != (self.encryption == "sse-kms"):
            raise ValueError("kms_key belongs to `encryption: sse-kms`, and it to kms_key")
        written = self.model_fields_set - {"url", "concurrency"}
        if written and not self.is_bucket:
            raise ValueError(f"only a bucket has {', '.join(sorted(written))}")
        return self

    def beside(self, url: str) -> "Storage":
        """Another place of the same service, reached by the same right."""
        changed: dict[str, Any] = {"url": url}
        if self.is_bucket and url.startswith("s3://"):
            changed = self.model_dump(exclude_unset=True) | changed
        return Storage.model_validate(changed)


def at(url: str) -> Storage:
    """The profile of a root that needs none: a folder, or a bucket of Amazon's.

    Raises:
        SpecError: there is no such kind of storage (code "bad-storage"), or a secret stands in the
            URL ("secret-in-url").
    """
    refuse_userinfo(url, "the storage that was named")
    try:
        return Storage(url=url)
    except ValidationError as error:
        reason = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise SpecError(
            f"cannot be a root of storage: {reason}",
            code="bad-storage",
            about=url,
            hint="give a folder that can be made and written to, or s3://BUCKET/PREFIX",
        ) from None


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


STORAGE: TypeAdapter[Storage] = TypeAdapter(Storage)
