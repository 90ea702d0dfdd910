"""What a store's refusal means, and what to do about it: one code and one hint each."""

import re

from medray.errors import FatalError, MedrayError, RetryableError

_CODE = re.compile(r"<Code>(\w+)</Code>")
_NONE = re.compile(r": (there are no credentials [^\[\n]*) \[no-credentials\] \(([^)\n]*)\)")
_STATUS = re.compile(r"status code: (\d{3})")
_RETRIED = re.compile(r"\bretries: (\d+),\s+max_retries: (\d+)")

_BY_CODE = {
    "NoSuchBucket": "no-such-bucket",
    "AccessDenied": "access-denied",
    "AllAccessDisabled": "access-denied",
    "AccountProblem": "access-denied",
    "SignatureDoesNotMatch": "bad-credentials",
    "InvalidAccessKeyId": "bad-credentials",
    "InvalidToken": "bad-credentials",
    "ExpiredToken": "credentials-expired",
    "ExpiredTokenException": "credentials-expired",
    "TokenRefreshRequired": "credentials-expired",
    "RequestTimeTooSkewed": "clock-skew",
    "RequestExpired": "clock-skew",
    "PermanentRedirect": "wrong-region",
    "AuthorizationHeaderMalformed": "wrong-region",
    "IllegalLocationConstraintException": "wrong-region",
    "InvalidRequest": "request-refused",
    "InvalidArgument": "request-refused",
    "NotImplemented": "request-refused",
}
_SAID = {
    "no-such-bucket": (
        "there is no such bucket",
        "make it, then `medray storage init`; or correct `url` and `endpoint`",
    ),
    "access-denied": (
        "these credentials do not allow it",
        "`medray storage check` prints the policy that medray needs",
    ),
    "bad-credentials": ("the credentials are not accepted", "see `credentials` of the profile"),
    "credentials-expired": ("the credentials have expired", "renew them, then `medray resume`"),
    "clock-skew": ("this machine's clock is wrong", "set it, e.g. by chrony, then `medray resume`"),
    "wrong-region": ("the bucket is in another region", "correct `region` of the profile"),
    "request-refused": (
        "the store does not take such requests",
        "see `encryption` of the profile; the store may lack it",
    ),
}

LASTING = frozenset({*_SAID, "storage-full", "no-credentials"})
"""Codes of faults that do not pass while one waits: trying again at once is in vain."""


def explain(error: BaseException, about: str) -> MedrayError:
    """An error of a store or a file system as one that says what to do.

    Args:
        error: of obstore or the operating system.
        about: URL of the object.
    """
    text = str(error)
    if "No space left" in text or "Disk quota" in text:
        return RetryableError(
            "no space left in storage",
            code="storage-full",
            about=about,
            hint="free space, then `medray resume`",
        )
    if "File too large" in text:
        return FatalError(
            "the file system refused the file's size", code="storage-limit", about=about
        )
    # What the provider of credentials raises arrives here as text in obstore's error.
    none = _NONE.search(text)
    if none:
        message, hint = none.groups()
        return RetryableError(message, code="no-credentials", about=about, hint=hint)
    code = code_of(text)
    if code in _SAID:
        message, hint = _SAID[code]
        return RetryableError(message, code=code, about=about, hint=hint)
    return RetryableError(
        f"storage failed ({type(error).__name__})",
        code="storage-failed",
        about=about,
        hint="check that the store is reachable and writable, then `medray resume`",
    )


def code_of(text: str) -> str:
    """medray's code of what an S3 service said, or empty."""
    named = _CODE.search(text)
    if named and named.group(1) in _BY_CODE:
        return _BY_CODE[named.group(1)]
    status = _STATUS.search(text)
    # The answer to HEAD has no body that could name a code.
    return {"401": "bad-credentials", "403": "access-denied", "301": "wrong-region"}.get(
        status.group(1) if status else "", ""
    )


def is_exhausted(error: BaseException) -> bool:
    """Whether the store's client has retried as often as it may."""
    retried = _RETRIED.search(str(error))
    return retried is not None and int(retried.group(1)) >= int(retried.group(2)) > 0
