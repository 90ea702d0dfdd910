"""A rank's share of a step, cut into the parts that are computed one after another."""

from dataclasses import dataclass

from medray.data.tree import Tree, chunk


@dataclass(frozen=True, slots=True)
class Part:
    """What goes through a network at once.

    Args:
        inputs: what the network takes; a tensor has the samples along its first axis.
        target: what the task compares its answer with.
    """

    inputs: Tree
    target: Tree


@dataclass(frozen=True, slots=True)
class Views:
    """The same samples without targets, seen twice: other noise, and where places are answered the
    same places.

    Args:
        student: what the network that learns sees.
        teacher: what it is held against has seen.
    """

    student: Tree
    teacher: Tree


@dataclass(frozen=True, slots=True)
class Batch:
    """A rank's share of a global batch.

    Args:
        step: of the run.
        parts: of the share, in its order; gradients add up over them.
        unlabelled: a share of as large a batch as the training takes of samples without targets.
    """

    step: int
    parts: tuple[Part, ...]
    unlabelled: Views | None = None


def in_parts(step: int, inputs: Tree, target: Tree, parts: int) -> Batch:
    """A batch whose samples lie along the first axis of every tensor, in `parts` or fewer."""
    if parts == 1:
        return Batch(step, (Part(inputs, target),))
    pairs = zip(chunk(inputs, parts), chunk(target, parts), strict=True)
    return Batch(step, tuple(Part(some, wanted) for some, wanted in pairs))
