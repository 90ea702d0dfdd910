"""New molecules, drawn token by token; what is said of them stands in `appraisal`."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, cast

import numpy as np
import pyarrow as pa
import torch
from pydantic import Field

from medray.data.batch import Part
from medray.data.order import seed_of
from medray.modalities.generation import GenerateOptions, Generation, Model, Rollout, Verdict
from medray.modalities.notation.cases import filled, texts_of
from medray.modalities.notation.plan import NotationPlan
from medray.modalities.notation.rewards import REWARDS
from medray.modalities.notation.tokens import Codec
from medray.models.base import Network
from medray.models.notation.base import END, NotationNetwork
from medray.spec.base import Settings
from medray.storage.catalog.datasets import Dataset
from medray.storage.shards.holds import Holds, names
from medray.storage.shards.reader import Shard
from medray.storage.shards.rows import Rows
from medray.tasks.base import Task
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
    """SMILES. A row has the text as it was drawn (`smiles`; of SELFIES, what they say), whether it
    is a molecule (`valid`), its canonical form, or null, and how surprising it is to the model,
    `nats` a token.

    A text that does not end within `longest` tokens is no molecule.
    """

    Options: ClassVar[type[GenerateOptions]] = MoleculeOptions
    answers: ClassVar[str] = "text"
    holds: ClassVar[Holds] = Holds(names(), names(TEXT.names) - {"sample_id"})
    libraries: ClassVar[tuple[str, ...]] = ("rdkit",)
    rewards: ClassVar[Mapping[str, type[Settings]]] = REWARDS

    def draws(self, network: type[torch.nn.Module], *, likely: bool = False) -> bool:
        """See Generation; autoencoders give back what they are given."""
        if not issubclass(network, NotationNetwork):
            return False
        return network.draws and (network.likely or not likely)

    def draw(self, model: Model, options: Any, drawn: range, seed: int) -> Iterator[Rows]:
        """See Generation."""
        from medray.modalities.notation.looks import look

        chosen, known = cast("MoleculeOptions", options), cast("NotationPlan", model.plan)
        longest = chosen.longest or 2 * known.longest
        made = draw_tokens(
            cast("NotationNetwork", model.network),
            len(drawn),
            longest,
            chosen.temperature,
            _chance(seed_of(seed, drawn.start)),
            model.device,
        )
        codec, rows = Codec(known.classes), []
        texts = [codec.decode(tokens) for tokens, _, _ in made]
        ended = [text if end else None for text, (_, end, _) in zip(texts, made, strict=True)]
        told = look(ended, notation=known.notation).canonical
        if known.notation != "smiles":
            texts = [form or "" for form in told]
        for number, text, form, (tokens, end, nats) in zip(drawn, texts, told, made, strict=True):
            length = len(tokens) + int(end)
            rows.append((f"{number:08d}", text, form is not None, form, nats / length, length))
        columns = [
            pa.array(column, kind)
            for column, kind in zip(zip(*rows, strict=True), TEXT.types, strict=True)
        ]
        yield Rows(pa.Table.from_arrays(columns, schema=TEXT))

    def appraise(
        self,
        drawn: Sequence[Shard],
        plan: Any,
        task: Task,
        learnt: Dataset,
        indices: Sequence[int],
        seed: int,
        features: Model | None,
    ) -> dict[str, Any]:
        """See medray.modalities.notation.appraisal."""
        from medray.modalities.notation.appraisal import appraise

        texts = texts_of(learnt, indices, plan.column)
        forms, others = list[Any](), list[str]()
        for shard in drawn:
            forms += shard.columns(["canonical"])["canonical"].to_pylist()
        if plan.notation != "selfies" and "selfies" in learnt.manifest.columns:
            column = learnt.columns(["selfies"])["selfies"].take(pa.array(indices, pa.int64()))
            others = column.drop_null().to_pylist()
        return appraise(forms, texts, 2 * plan.longest, seed, plan.notation, others)

    def rollout(
        self,
        network: Network,
        plan: Any,
        count: int,
        own: slice,
        device: torch.device,
        seed: int,
    ) -> Rollout:
        """See Generation; what is drawn are texts, None of one that does not end."""
        known, writer = cast("NotationPlan", plan), cast("NotationNetwork", network)
        made = draw_tokens(writer, count, 2 * known.longest, 1.0, _chance(seed), device, own)
        given, following = (
            torch.from_numpy(one).to(device)
            for one in filled([(tokens, ended) for tokens, ended, _ in made])
        )
        codec = Codec(known.classes)
        texts = [codec.decode(tokens) if ended else None for tokens, ended, _ in made]
        return Rollout(Part(given, following), texts)

    def verdict(self, rollout: Rollout, plan: Any, reward: Any) -> Verdict:
        """See Generation; a sample's name is its canonical form."""
        from medray.modalities.notation.looks import look

        if reward is None:
            found = look(rollout.drawn, notation=plan.notation)
            return Verdict(found.canonical, np.zeros(len(found.canonical)))
        reward.ready()
        properties, prints = reward.properties, reward.prints
        found = look(rollout.drawn, properties, prints=prints, notation=plan.notation)
        there = [name is not None for name in found.canonical]
        return Verdict(found.canonical, np.where(there, reward.of(found), 0.0))

    def asked(self, name: str) -> dict[str, Any]:
        """See Generation."""
        return {"smiles": name}

    def section(self, drawn: Dataset, summary: dict[str, Any]) -> Section:
        """See medray.modalities.notation.appraisal."""
        from medray.modalities.notation.appraisal import section

        return section(drawn.name, summary)


def _chance(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=seed))


def draw_tokens(
    network: NotationNetwork,
    count: int,
    longest: int,
    temperature: float,
    chance: np.random.Generator,
    device: torch.device,
    own: slice = slice(None),
) -> list[tuple[list[int], bool, float]]:
    """Texts drawn from a model, all at once.

    Args:
        network: in evaluation mode, on `device`.
        count: of texts.
        longest: tokens.
        temperature: that logits are divided by.
        chance: one number is drawn for each text and token, and before these what the network
            begins with.
        device: of the network.
        own: which of the texts are drawn here, by a network that begins with nothing.

    Returns:
        Of each text its tokens, whether it ended, and its nats at temperature 1, of its end too.
    """
    with torch.inference_mode():
        state = network.begin(chance, count)
    chances = chance.random((longest + 1, count))[:, own]
    count = chances.shape[1]
    tokens: list[list[int]] = [[] for _ in range(count)]
    nats, ended = np.zeros(count), np.zeros(count, bool)
    open_texts = np.arange(count)
    last = torch.full((count,), END, dtype=torch.uint8, device=device)
    with torch.inference_mode():
        for some in chances:
            logits, state = network.following(last, state)
            each = logits.double().log_softmax(1).cpu().numpy()
            tempered = (logits.double() / temperature).softmax(1).cumsum(1).cpu().numpy()
            drawn = (tempered < some[open_texts, None] * tempered[:, -1:]).sum(1)
            nats[open_texts] -= each[np.arange(len(drawn)), drawn]
            ended[open_texts[drawn == END]] = True
            going = np.flatnonzero(drawn != END)
            open_texts, drawn = open_texts[going], drawn[going]
            if not len(going):
                break
            for text, token in zip(open_texts, drawn, strict=True):
                tokens[text].append(int(token))
            kept = torch.from_numpy(going).to(device)
            state = tuple(one.index_select(1, kept) for one in state)
            last = torch.from_numpy(drawn.astype(np.uint8)).to(device)
    return [
        (text, bool(done), float(nat)) for text, done, nat in zip(tokens, ended, nats, strict=True)
    ]
