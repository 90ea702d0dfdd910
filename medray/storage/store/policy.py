"""The least that medray must be allowed to do in a bucket, as an IAM policy."""

from typing import Any

from medray.spec.storage import Storage

_OBJECTS = (
    "s3:GetObject",
    "s3:PutObject",
    "s3:DeleteObject",
    "s3:AbortMultipartUpload",
    "s3:ListMultipartUploadParts",
)
_KEY = ("kms:GenerateDataKey", "kms:Decrypt")


def policy(storage: Storage) -> dict[str, Any]:
    """What drivers and workers need; `medray storage init` is for the bucket's owner.

    Args:
        storage: profile of a bucket.
    """
    bucket = f"arn:aws:s3:::{storage.bucket}"
    below = f"{storage.prefix}/*" if storage.prefix else "*"
    listing: dict[str, Any] = {
        "Sid": "List",
        "Effect": "Allow",
        "Action": ["s3:ListBucket"],
        "Resource": [bucket],
    }
    if storage.prefix:
        listing["Condition"] = {"StringLike": {"s3:prefix": [storage.prefix, below]}}
    statements = [
        listing,
        {
            "Sid": "Objects",
            "Effect": "Allow",
            "Action": list(_OBJECTS),
            "Resource": [f"{bucket}/{below}"],
        },
        {
            "Sid": "Look",
            "Effect": "Allow",
            "Action": [
                "s3:GetBucketLocation",
                "s3:GetEncryptionConfiguration",
                "s3:GetBucketVersioning",
                "s3:GetLifecycleConfiguration",
            ],
            "Resource": [bucket],
        },
    ]
    if storage.kms_key:
        key = storage.kms_key
        if not key.startswith("arn:"):
            key = f"arn:aws:kms:{storage.region}:*:key/{key}"
        statements.append(
            {"Sid": "Key", "Effect": "Allow", "Action": list(_KEY), "Resource": [key]}
        )
    return {"Version": "2012-10-17", "Statement": statements}
