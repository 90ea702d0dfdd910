import pytest
import torch

from medray.data.batch import in_parts


@pytest.mark.parametrize(("size", "parts", "cuts"), [(7, 3, [3, 3, 1]), (5, 4, [2, 2, 1])])
def test_trees_are_cut_as_torch_cuts_a_tensor(size: int, parts: int, cuts: list[int]) -> None:
    """Gradients add up over the parts in this order, so other cuts would be another training."""
    values, target = torch.rand(size, 3), torch.arange(size)
    batch = in_parts(4, {"some": values, "more": {"deep": -values}}, target, parts)
    assert batch.step == 4
    assert [len(part.target) for part in batch.parts] == cuts
    for part, whole, wanted in zip(
        batch.parts, values.chunk(parts), target.chunk(parts), strict=True
    ):
        assert torch.equal(part.inputs["some"], whole)
        assert torch.equal(part.inputs["more"]["deep"], -whole)
        assert torch.equal(part.target, wanted)


def test_one_part_is_the_batch_itself() -> None:
    values = torch.rand(3)
    (part,) = in_parts(0, values, values, 1).parts
    assert part.inputs is values
