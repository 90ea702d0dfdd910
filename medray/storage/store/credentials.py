"""Credentials by where they come from. What travels is the source; secrets stay where they are.

boto3 (botocore) knows the sources; obstore asks for keys here whenever those it has grow old.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from medray.errors import RetryableError
from medray.spec.storage import Storage

if TYPE_CHECKING:
    from obstore.store import S3Credential

# obstore renews what has less than five minutes left, botocore what has less than ten.
LIFE = timedelta(minutes=10)

_PROVIDERS = {
    "env": ("env",),
    "file": ("assume-role", "sso", "shared-credentials-file", "custom-process", "config-file"),
    "instance": ("assume-role-with-web-identity", "container-role", "iam-role"),
}
_HINTS = {
    "env": "export AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    "file": "write them to ~/.aws/credentials, and name a profile by AWS_PROFILE",
    "instance": "give the machine, pod or container a role",
    "assume-role": "see that this process may assume role_arn",
}


def provider(storage: Storage) -> Callable[[], "S3Credential"]:
    """A function that gives obstore the keys of now.

    Its errors are RetryableError with code "no-credentials": the source has none.
    """
    credentials: Any = None

    def keys() -> "S3Credential":
        nonlocal credentials
        # Keys in a file may be exchanged while a job runs: they are read anew each time.
        if credentials is None or storage.credentials == "file":
            credentials = find(storage)
        now = credentials.get_frozen_credentials()
        return {
            "access_key_id": now.access_key,
            "secret_access_key": now.secret_key,
            "token": now.token,
            "expires_at": datetime.now(UTC) + LIFE,
        }

    return keys


def find(storage: Storage) -> Any:
    """botocore's credentials of a profile; they renew themselves.

    Raises:
        RetryableError: the source has none (code "no-credentials").
    """
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        found = _assumed(storage) if storage.credentials == "assume-role" else _loaded(storage)
    except (BotoCoreError, ClientError) as error:
        raise _none(storage) from error
    if found is None:
        raise _none(storage)
    return found


def _loaded(storage: Storage) -> Any:
    import botocore.session

    resolver = botocore.session.Session().get_component("credential_provider")
    providers = {each.METHOD: each for each in resolver.providers}
    for name in _PROVIDERS[storage.credentials]:
        found = providers[name].load() if name in providers else None
        if found is not None:
            return found
    return None


def _assumed(storage: Storage) -> Any:
    import botocore.session
    from botocore.credentials import RefreshableCredentials, create_assume_role_refresher

    session = botocore.session.Session()
    # Ceph and MinIO answer for STS at the same endpoint.
    client = session.create_client("sts", region_name=storage.region, endpoint_url=storage.endpoint)
    role = {"RoleArn": storage.role_arn, "RoleSessionName": "medray"}
    refresh = create_assume_role_refresher(client, role)
    return RefreshableCredentials.create_from_metadata(refresh(), refresh, "assume-role")


def _none(storage: Storage) -> RetryableError:
    return RetryableError(
        f"there are no credentials in the source {storage.credentials!r}",
        code="no-credentials",
        about=storage.url,
        hint=_HINTS[storage.credentials],
    )
