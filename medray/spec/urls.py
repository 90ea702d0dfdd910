"""URLs hold no secrets: they are kept, shown and passed on, and who asks is said elsewhere."""

from medray.errors import SpecError
from medray.veil import has_userinfo


def refuse_userinfo(text: str, about: str, hint: str = "") -> str:
    """The text, if no URL in it holds a name or a password.

    Args:
        text: anything that is given where a URL may stand.
        about: what errors call the place; the text itself is not shown.
        hint: where the secret belongs; empty: where those of storage do.

    Raises:
        SpecError: one does (code "secret-in-url").
    """
    if has_userinfo(text):
        raise SpecError(
            "a URL with a name or a password in it would be kept and shown",
            code="secret-in-url",
            about=about,
            hint=hint or "leave it out: `credentials` of a storage profile say where they are",
        )
    return text
