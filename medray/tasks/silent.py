"""What is said where a model that answers nothing is asked; loads no torch."""

from medray.errors import SpecError


def draws_only(about: str) -> SpecError:
    """What to raise where the model draws samples."""
    return SpecError(
        "the model draws new samples, and says nothing of any that there is",
        code="draws-only",
        about=about,
        hint="draw by a document of `kind: generate`",
    )


def restores_only(about: str) -> SpecError:
    """What to raise where the model restores what was hidden."""
    return SpecError(
        "the model restores what is hidden of samples, and says nothing about them",
        code="restores-only",
        about=about,
        hint="train another that begins with it (`train.init_from`), and ask that",
    )
