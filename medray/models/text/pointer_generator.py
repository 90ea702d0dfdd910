"""A network that writes a summary word by word, from a vocabulary or out of the text."""

from collections.abc import Mapping
from typing import ClassVar, NamedTuple, Self, cast

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from medray.models.base import Answers, ModelOptions
from medray.models.text.base import FIRST, PADDING, UNKNOWN, WORDS, TextNetwork
from medray.models.text.beam import END, State, beam_search

LEAST = 1e-20  # of a probability, so that its logarithm is finite


class Text(NamedTuple):
    """What is known of texts before the first word is written.

    Args:
        states: of the encoder, (B, L, 2 H).
        keys: of the attention, (B, H, L).
        there: bool (B, 1, L), False behind a text's end.
        copies: int64 (B, L), the token that each word is when it is copied.
        numbers: int64 (B, tokens), of each token its word as the encoder reads it.
    """

    states: Tensor
    keys: Tensor
    there: Tensor
    copies: Tensor
    numbers: Tensor


class PointerGenerator(TextNetwork):
    """Attention over a bidirectional LSTM, an LSTM that writes, and a gate between the vocabulary
    and the words of the text (pointer-generator with coverage, See et al. 2017).

    A token is written with p·vocabulary + (1 - p)·(the attention on words that are this token), so
    words that no vocabulary has can be copied. Attention is by products (Luong et al. 2015) and
    not by sums, which hold hidden numbers for each pair of tokens of text and summary; how often a
    word was looked at has a weight of its own in it. Embeddings are those of the encoder.
    """

    answers: ClassVar[frozenset[Answers]] = frozenset({"generated"})

    class Options(ModelOptions):
        """What can be chosen."""

        planned: ClassVar[frozenset[str]] = frozenset({"vocabulary", "writes"})
        vocabulary: int = Field(WORDS, ge=WORDS, description="words that are read; the plan's")
        writes: int = Field(1, ge=1, description="tokens that need not be copied; the plan's")
        embedding: int = Field(128, ge=1, description="size of a word's learnt vector")
        hidden: int = Field(128, ge=1, description="units of the encoder each way, and of the rest")
        dropout: float = Field(0.3, ge=0, lt=1, description="of words, and before what is written")
        unknown: float = Field(
            0.05, ge=0, lt=1, description="share of words that a training takes for unknown ones"
        )
        beam: int = Field(4, ge=1, le=64, description="rows that an answer follows; 1: greedy")
        longest: int = Field(120, ge=1, le=2000, description="tokens of an answer, at most")

    def __init__(self, options: Options) -> None:
        super().__init__()
        size, hidden = options.embedding, options.hidden
        self.words = nn.Embedding(options.vocabulary, size, padding_idx=PADDING)
        self.encoder = nn.LSTM(size, hidden, batch_first=True, bidirectional=True)
        self.first_hidden = nn.Linear(2 * hidden, hidden)
        self.first_cell = nn.Linear(2 * hidden, hidden)
        self.key = nn.Linear(2 * hidden, hidden, bias=False)
        self.query = nn.Linear(hidden, hidden)
        self.covered = nn.Parameter(torch.zeros(()))
        self.enter = nn.Linear(size + 2 * hidden, size)
        self.writer = nn.LSTMCell(size, hidden)
        self.gate = nn.Linear(3 * hidden + size, 1)
        self.join = nn.Linear(3 * hidden, hidden)
        self.head = nn.Linear(hidden, options.writes)
        self.drop = nn.Dropout(options.dropout)
        self.options = options
        nn.init.uniform_(self.words.weight, -0.1, 0.1)
        with torch.no_grad():
            self.words.weight[PADDING] = 0

    @classmethod
    def build(
        cls,
        options: ModelOptions,
        in_channels: int,
        out_channels: int,
        patch: tuple[int, ...] | None,
    ) -> Self:
        """See `Network.build`."""
        return cls(cast("PointerGenerator.Options", options))

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor | dict[str, Tensor]:
        """See medray.models.text.base: what it thinks of references where there are some, else what
        it writes."""
        text, state = self._read(inputs)
        if "reference" in inputs:
            return self._taught(text, state, inputs["before"].long(), inputs["reference"].long())
        found = beam_search(
            lambda last, state: self.following(text, last, state),
            state,
            width=self.options.beam,
            longest=self.options.longest,
        )
        sound = found.score.isfinite()[:, None]
        return torch.where(sound, found.tokens.float(), torch.nan)

    def _read(self, inputs: Mapping[str, Tensor]) -> tuple[Text, State]:
        """The texts, and the state before the first token."""
        words, lengths = inputs["words"].long(), inputs["lengths"].clamp(min=1)
        packed = pack_padded_sequence(
            self.drop(self.words(self._blurred(words))),
            lengths.cpu(),
            batch_first=True,
            enforce_sorted=False,
        )
        encoded, (hidden, cell) = self.encoder(packed)
        states, _ = pad_packed_sequence(encoded, batch_first=True, total_length=words.shape[1])
        copies = inputs["copies"].long()
        numbers = inputs["writes"].long()[None].expand(len(words), -1)
        more = max(0, int(copies.max()) + 1 - numbers.shape[1])
        numbers = functional.pad(numbers, (0, more), value=UNKNOWN).scatter(1, copies, words)
        numbers[:, END] = FIRST
        there = torch.arange(words.shape[1], device=words.device) < lengths[:, None]
        text = Text(states, self.key(states).transpose(1, 2), there[:, None], copies, numbers)
        state = (
            torch.tanh(self.first_hidden(torch.cat([*hidden], 1))),
            torch.tanh(self.first_cell(torch.cat([*cell], 1))),
            torch.zeros_like(states[:, 0]),
            torch.zeros(words.shape, device=words.device),
        )
        return text, state

    def _blurred(self, words: Tensor) -> Tensor:
        """Words as a training reads them, some of them unknown."""
        if not (self.training and self.options.unknown):
            return words
        hidden = torch.rand(words.shape, device=words.device) < self.options.unknown
        return torch.where(hidden & (words >= WORDS), UNKNOWN, words)

    def _attend(self, text: Text, entered: Tensor, state: State) -> tuple[Tensor, State]:
        """Attention (N, L) of the next token, and the state with it; of W rows a text N is B W.

        Args:
            text: that is read.
            entered: the vector of the last word, (N, embedding).
            state: hidden and cell of the writer (N, H), context (N, 2 H), coverage (N, L).
        """
        hidden, cell, context, coverage = state
        given = self.enter(torch.cat([entered, context], 1))
        hidden, cell = self.writer(given, (hidden, cell))
        texts, length = text.copies.shape
        asked = self.query(hidden).view(texts, -1, hidden.shape[1]) / hidden.shape[1] ** 0.5
        seen = self.covered * coverage.view(texts, -1, length)
        logits = (asked @ text.keys).float() + seen
        attention = logits.masked_fill(~text.there, -torch.inf).softmax(2)
        context = (attention.to(text.states.dtype) @ text.states).flatten(0, 1)
        return attention.flatten(0, 1), (hidden, cell, context, coverage + attention.flatten(0, 1))

    def _mixed(self, entered: Tensor, hidden: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """Log-probabilities of the vocabulary (…, writes), and the gate's (…), that it is asked."""
        gate = self.gate(torch.cat([entered, hidden, context], -1))[..., 0].float().sigmoid()
        joint = torch.tanh(self.join(torch.cat([hidden, context], -1)))
        return self.head(self.drop(joint)).float().log_softmax(-1), gate

    def following(self, text: Text, last: Tensor, state: State) -> tuple[Tensor, State]:
        """Log-probabilities (N, tokens) of the next token, copies included, and the state then.

        Args:
            text: that is read.
            last: tokens (N,).
            state: see `_attend`.
        """
        width = len(last) // len(text.states)
        numbers, copies = (one.repeat_interleave(width, 0) for one in (text.numbers, text.copies))
        entered = self.words(numbers.gather(1, last[:, None])[:, 0])
        attention, state = self._attend(text, entered, state)
        told, gate = self._mixed(entered, state[0], state[2])
        written = functional.pad(told.exp() * gate[:, None], (0, numbers.shape[1] - told.shape[1]))
        whole = written.scatter_add(1, copies, attention * (1 - gate[:, None]))
        return whole.clamp(min=LEAST).log(), state

    def _taught(
        self, text: Text, state: State, before: Tensor, reference: Tensor
    ) -> dict[str, Tensor]:
        """Of each token of the references its log-probability, given those before it, and how much
        of the attention falls where it has been, both (B, T) float32; 0 of what is not learnt.

        Args:
            text: that is read.
            state: see `_attend`.
            before: words of the tokens before, (B, T).
            reference: tokens, -1 of what is not learnt, (B, T).
        """
        entered = self.drop(self.words(before))
        steps, again = [], []
        for at in range(before.shape[1]):
            coverage = state[3]
            attention, state = self._attend(text, entered[:, at], state)
            again.append(torch.minimum(attention, coverage).sum(1))
            steps.append((attention, state[0], state[2]))
        attention, hidden, context = (torch.stack(some, 1) for some in zip(*steps, strict=True))
        told, gate = self._mixed(entered, hidden, context)
        size, known = told.shape[2], reference >= 0
        spoken = (reference >= 0) & (reference < size)
        own = told.gather(2, reference.clamp(0, size - 1)[..., None])[..., 0].exp() * spoken
        copied = (attention * (text.copies[:, None] == reference[..., None])).sum(2)
        whole = gate * own + (1 - gate) * copied
        return {
            "log_probability": whole.clamp(min=LEAST).log() * known,
            "coverage": torch.stack(again, 1) * known,
        }
