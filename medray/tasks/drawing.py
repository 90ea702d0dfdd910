"""What is said where a model that draws samples is asked for anything else; loads no torch."""

from medray.errors import SpecError


def draws_only(about: str) -> SpecError:
    """What to raise there."""
    return SpecError(
        "the model draws new samples, and says nothing of any that there is",
        code="draws-only",
        about=about,
        hint="draw by a document of `kind: generate`",
    )
