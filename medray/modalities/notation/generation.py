"""New molecules, drawn token by token; what is said of them stands in `appraisal`."""

from collections.abc import Sequence
from typing import Any, ClassVar, cast

import numpy as np
import pyarrow as pa
import torch
from pydantic import Field

from medray.data.order import seed_of
from medray.modalities.generation import GenerateOptions, Generation
from medray.modalities.notation.cases import texts_of
from medray.modalities.notation.plan import NotationPlan
from medray.modalities.notation.tokens import Codec
from medray.models.base import Network
from medray.models.notation.base import END, NotationNetwork, State
from medray.storage.catalog.datasets import Dataset
from medray.storage.shards.holds import Names, names
from medray.storage.shards.rows import Rows
from medray.tasks.section import Section

TEXT = pa.schema(
    [
        ("sample_id", pa.string()),
        ("smiles", pa.string()),
        ("valid", pa.bool_()),
        ("canonical", pa.string()),
        ("nats", pa.float64()),
        ("tokens", pa.int64()),
    ]
)


class MoleculeOptions(GenerateOptions):
    """How new texts are drawn."""

    temperature: float = Field(
        1.0, gt=0, le=10, description="logits are divided by it: below 1 the likelier come oftener"
    )
    longest: int | None = Field(
        None, ge=1, description="tokens; null: twice those of the longest text that was learnt"
    )


class Molecules(Generation):
    """SMILES. A row has the text as it was drawn (`smiles`), whether it is a molecule (`valid`),
    its canonical form, or null, and how surprising it is to the model, `nats` a token.

    A text that does not end within `longest` tokens is no molecule.
    """

    Options: ClassVar[type[GenerateOptions]] = MoleculeOptions
    answers: ClassVar[str] = "text"
    columns: ClassVar[Names] = names(TEXT.names) - {"sample_id"}
    libraries: ClassVar[tuple[str, ...]] = ("rdkit",)

    def draw(
        self,
        network: Network,
        plan: Any,
        options: Any,
        device: torch.device,
        drawn: range,
        seed: int,
    ) -> Rows:
        """See Generation."""
        from medray.modalities.notation.chemistry import canonical, molecule

        chosen, known = cast("MoleculeOptions", options), cast("NotationPlan", plan)
        longest = chosen.longest or 2 * known.longest
        made = draw_tokens(
            cast("NotationNetwork", network),
            len(drawn),
            longest,
            chosen.temperature,
            np.random.Generator(np.random.Philox(key=seed_of(seed, drawn.start))),
            device,
        )
        codec, rows = Codec(known.classes), []
        for number, (tokens, ended, nats) in zip(drawn, made, strict=True):
            text = codec.decode(tokens)
            mol = molecule(text) if ended else None
            length = len(tokens) + int(ended)
            told = None if mol is None else canonical(mol)
            rows.append((f"{number:08d}", text, mol is not None, told, nats / length, length))
        columns = [
            pa.array(column, kind)
            for column, kind in zip(zip(*rows, strict=True), TEXT.types, strict=True)
        ]
        return Rows(pa.Table.from_arrays(columns, schema=TEXT))

    def appraise(
        self, drawn: pa.Table, plan: Any, learnt: Dataset, indices: Sequence[int], seed: int
    ) -> dict[str, Any]:
        """See medray.modalities.notation.appraisal."""
        from medray.modalities.notation.appraisal import appraise

        texts = texts_of(learnt, indices, plan.column)
        return appraise(drawn["canonical"].to_pylist(), texts, 2 * plan.longest, seed)

    def section(self, name: str, summary: dict[str, Any]) -> Section:
        """See medray.modalities.notation.appraisal."""
        from medray.modalities.notation.appraisal import section

        return section(name, summary)


def draw_tokens(
    network: NotationNetwork,
    count: int,
    longest: int,
    temperature: float,
    chance: np.random.Generator,
    device: torch.device,
) -> list[tuple[list[int], bool, float]]:
    """Texts drawn from a model, all at once.

    Args:
        network: in evaluation mode, on `device`.
        count: of texts.
        longest: tokens.
        temperature: that logits are divided by.
        chance: one number is drawn for each text and token.
        device: of the network.

    Returns:
        Of each text its tokens, whether it ended, and its nats at temperature 1, of its end too.
    """
    tokens: list[list[int]] = [[] for _ in range(count)]
    nats, ended = np.zeros(count), np.zeros(count, bool)
    open_texts, state = np.arange(count), cast("State | None", None)
    last = torch.full((count,), END, dtype=torch.uint8, device=device)
    with torch.inference_mode():
        for _ in range(longest + 1):
            logits, state = network.following(last, state)
            own = logits.double().log_softmax(1).cpu().numpy()
            tempered = (logits.double() / temperature).softmax(1).cumsum(1).cpu().numpy()
            drawn = (tempered < chance.random(count)[open_texts, None] * tempered[:, -1:]).sum(1)
            nats[open_texts] -= own[np.arange(len(drawn)), drawn]
            ended[open_texts[drawn == END]] = True
            on = np.flatnonzero(drawn != END)
            open_texts, drawn = open_texts[on], drawn[on]
            if not len(on):
                break
            for text, token in zip(open_texts, drawn, strict=True):
                tokens[text].append(int(token))
            kept = torch.from_numpy(on).to(device)
            state = tuple(one.index_select(1, kept) for one in state)
            last = torch.from_numpy(drawn.astype(np.uint8)).to(device)
    return [
        (text, bool(done), float(nat)) for text, done, nat in zip(tokens, ended, nats, strict=True)
    ]
