"""The control path of a bucket, by boto3: whether it is as medray needs it, and making it so."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from medray.errors import MedrayError, RetryableError, SpecError
from medray.spec.storage import Storage
from medray.storage.store.credentials import find
from medray.storage.store.objects import Objects
from medray.storage.store.probe import probe
from medray.storage.store.remote import refuse_endpoints
from medray.storage.store.store_errors import explain

ABANDONED_DAYS = 2
RULE = "medray-abandoned-uploads"
Verdict = Literal["ok", "advice", "failed"]

# Not every service has all of S3: what it lacks is said, and is no failure.
_ABSENT = frozenset(
    {
        "ServerSideEncryptionConfigurationNotFoundError",
        "NoSuchLifecycleConfiguration",
        "NotImplemented",
        "MethodNotAllowed",
        "NoSuchKey",
    }
)


@dataclass(frozen=True)
class Finding:
    """One check of a bucket.

    Args:
        name: of the check.
        verdict: "advice" is sound, but could be better.
        detail: what was found.
    """

    name: str
    verdict: Verdict
    detail: str


class Control:
    """A bucket's settings.

    Args:
        storage: profile of a bucket.

    Raises:
        SpecError: it is no bucket (code "not-a-bucket").
        RetryableError: there are no credentials (code "no-credentials").
    """

    def __init__(self, storage: Storage) -> None:
        if not storage.is_bucket:
            raise SpecError(
                "a folder needs no setting up",
                code="not-a-bucket",
                about=storage.url,
                hint="name the profile of a bucket: --storage s3",
            )
        self.storage = storage
        self._client = _client(storage)

    def check(self) -> list[Finding]:
        """All checks, in order; where there is no bucket, only that is told."""
        checks: dict[str, Callable[[], tuple[Verdict, str]]] = {
            "bucket": self._bucket,
            "region": self._region,
            "encryption": self._encryption,
            "versioning": self._versioning,
            "lifecycle": self._lifecycle,
            "conditional writes": self._conditional,
        }
        findings = []
        for name, look in checks.items():
            try:
                verdict, detail = look()
            except MedrayError as error:
                verdict, detail = "failed", f"{error.message} [{error.code}]; {error.hint}"
            findings.append(Finding(name, verdict, detail))
            if name == "bucket" and verdict == "failed":
                break
        return findings

    def init(self) -> list[str]:
        """Make the bucket if it is not there, and set what `check` looks at; what was done.

        Raises:
            RetryableError: the service refused.
        """
        done = []
        if self._call("head_bucket") is None:
            place = {"LocationConstraint": self.storage.region}
            foreign = self.storage.endpoint is None and self.storage.region != "us-east-1"
            self._call("create_bucket", **({"CreateBucketConfiguration": place} if foreign else {}))
            done.append(f"made the bucket {self.storage.bucket}")
        if self.storage.encryption != "none":
            rule: dict[str, Any] = {"SSEAlgorithm": "AES256"}
            if self.storage.kms_key:
                rule = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": self.storage.kms_key}
            self._call(
                "put_bucket_encryption",
                ServerSideEncryptionConfiguration={
                    "Rules": [{"ApplyServerSideEncryptionByDefault": rule}]
                },
            )
            done.append(f"objects are encrypted by default: {self.storage.encryption}")
        if self._lifecycle()[0] != "ok":
            rules = [*self._rules(), self._rule()]
            self._call(
                "put_bucket_lifecycle_configuration", LifecycleConfiguration={"Rules": rules}
            )
            done.append(f"abandoned uploads go after {ABANDONED_DAYS} days")
        return done

    def _bucket(self) -> tuple[Verdict, str]:
        if self._call("head_bucket") is None:
            return "failed", "there is no such bucket; `medray storage init` makes it"
        return "ok", f"{self.storage.bucket} is there, and these credentials reach it"

    def _region(self) -> tuple[Verdict, str]:
        answer = self._call("get_bucket_location") or {}
        found = answer.get("LocationConstraint") or "us-east-1"
        if self.storage.endpoint is None and found != self.storage.region:
            return "failed", f"the bucket is in {found}, the profile says {self.storage.region}"
        return "ok", found

    def _encryption(self) -> tuple[Verdict, str]:
        answer = self._call("get_bucket_encryption") or {}
        rules = answer.get("ServerSideEncryptionConfiguration", {}).get("Rules", [])
        kinds = [rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] for rule in rules]
        if self.storage.encryption != "none":
            return "ok", f"asked for with every object: {self.storage.encryption}"
        if kinds:
            return "ok", f"by the bucket's default: {', '.join(kinds)}"
        return "advice", "neither the bucket nor the profile asks for it; see `encryption`"

    def _versioning(self) -> tuple[Verdict, str]:
        state = (self._call("get_bucket_versioning") or {}).get("Status", "off")
        if state == "Enabled" and not any(
            "NoncurrentVersionExpiration" in r for r in self._rules()
        ):
            return "advice", "on: what `medray gc` deletes stays until a rule expires old versions"
        return "ok", state

    def _lifecycle(self) -> tuple[Verdict, str]:
        for rule in self._rules():
            prefix = rule.get("Filter", {}).get("Prefix", rule.get("Prefix", ""))
            covers = f"{self.storage.prefix}/".startswith(prefix) or self.storage.prefix == prefix
            if rule["Status"] == "Enabled" and covers and "AbortIncompleteMultipartUpload" in rule:
                days = rule["AbortIncompleteMultipartUpload"]["DaysAfterInitiation"]
                return "ok", f"abandoned uploads go after {days} days; attempts go by `medray gc`"
        return "advice", "abandoned uploads stay for ever; `medray storage init` adds a rule"

    def _conditional(self) -> tuple[Verdict, str]:
        probe(Objects(self.storage))
        return "ok", "create-only and compare-and-swap hold"

    def _rules(self) -> list[dict[str, Any]]:
        answer = self._call("get_bucket_lifecycle_configuration") or {}
        return list(answer.get("Rules", []))

    def _rule(self) -> dict[str, Any]:
        prefix = f"{self.storage.prefix}/" if self.storage.prefix else ""
        return {
            "ID": RULE,
            "Status": "Enabled",
            "Filter": {"Prefix": prefix},
            "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": ABANDONED_DAYS},
        }

    def _call(self, verb: str, **arguments: Any) -> dict[str, Any] | None:
        """Ask the service; None: what is asked for is not there."""
        from botocore.exceptions import BotoCoreError, ClientError

        about = f"s3://{self.storage.bucket}"
        try:
            answer: dict[str, Any] = getattr(self._client, verb)(
                Bucket=self.storage.bucket, **arguments
            )
        except ClientError as error:
            code = str(error.response["Error"]["Code"])
            if code in _ABSENT or (verb == "head_bucket" and code in ("404", "NoSuchBucket")):
                return None
            status = error.response["ResponseMetadata"]["HTTPStatusCode"]
            said = RuntimeError(f"status code: {status} <Code>{code}</Code>")
            raise explain(said, about) from error
        except BotoCoreError as error:
            raise RetryableError(
                f"the service does not answer ({type(error).__name__})",
                code="storage-failed",
                about=about,
                hint="check `endpoint`, and that the service runs",
            ) from error
        return answer


def _client(storage: Storage) -> Any:
    import boto3
    from botocore.config import Config

    refuse_endpoints()
    keys = find(storage).get_frozen_credentials()
    return boto3.session.Session(
        aws_access_key_id=keys.access_key,
        aws_secret_access_key=keys.secret_key,
        aws_session_token=keys.token,
        region_name=storage.region,
    ).client(
        "s3",
        endpoint_url=storage.endpoint,
        config=Config(
            connect_timeout=5,
            read_timeout=60,
            retries={"mode": "standard", "total_max_attempts": 1 + min(storage.retries, 5)},
            s3={"addressing_style": "path"},
        ),
    )
