"""Images of which parts are hidden, for networks to restore them; this entry loads no torch."""

from medray.tasks.silent import draws_only, restores_only


def refuse_silent(answers: str, about: str) -> None:
    """Refuse to ask a model of images that answers nothing, by what its task `answers`.

    Raises:
        SpecError: it draws ("draws-only"), or restores ("restores-only").
    """
    if answers == "image":
        raise draws_only(about)
    if answers == "restored":
        raise restores_only(about)
