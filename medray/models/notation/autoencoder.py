"""Line notations squeezed into a code and back, and codes made up from noise."""

from typing import ClassVar, Self, cast

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from medray.errors import SpecError
from medray.models.base import ModelOptions
from medray.models.latent import Latent
from medray.models.notation.base import END, NotationNetwork, State


class NotationAutoencoder(NotationNetwork):
    """A text to a code of unit variance, and back token by token.

    The encoder sees the tokens at their places all at once. The decoder unfolds a code into a
    vector for each place, which a recurrent network reads beside the token before: it need not
    remember where in the text it is. Both are linear: with dense layers of 1,024 units between,
    training texts are learnt by heart, and .875 of ZINC's held out ones come back, not .98.
    """

    class Options(ModelOptions):
        """What can be chosen."""

        planned: ClassVar[frozenset[str]] = frozenset({"longest"})

        longest: int = Field(64, ge=1, description="tokens that a code has places for")
        code: int = Field(128, ge=2, description="numbers that a text is squeezed into")
        place: int = Field(32, ge=1, description="numbers that a code is unfolded into at a place")
        hidden: int = Field(128, ge=1, description="units of the recurrent layer")
        embedding: int = Field(32, ge=1, description="size of a token's learnt vector")
        noise: float = Field(
            0.1, ge=0, description="added to codes in training, so that near ones mean alike"
        )

    draws: ClassVar[bool] = False
    likely: ClassVar[bool] = False

    def __init__(self, options: Options, vocabulary: int, answers: int) -> None:
        super().__init__()
        self.code, self._noise = options.code, options.noise
        self._longest, self._place = options.longest, options.place
        self.embed = nn.Embedding(vocabulary, options.embedding)
        self.encoder = nn.Linear(options.longest * options.embedding, options.code)
        self.unfold = nn.Linear(options.code, options.longest * options.place)
        self.lstm = nn.LSTM(options.embedding + options.place, options.hidden, batch_first=True)
        self.head = nn.Linear(options.hidden + options.place, answers)

    @classmethod
    def build(
        cls,
        options: ModelOptions,
        in_channels: int,
        out_channels: int,
        patch: tuple[int, ...] | None,
    ) -> Self:
        """See `Network.build`; in and out are the tokens of the vocabulary."""
        return cls(cast("NotationAutoencoder.Options", options), in_channels, out_channels)

    def encode(self, tokens: Tensor) -> Tensor:
        """Codes (B, code), each of mean 0 and variance 1, of texts as `forward` takes them."""
        texts = tokens[:, 1 : self._longest + 1].int()  # the first is END of every text
        texts = functional.pad(texts, (0, self._longest - texts.shape[1]), value=END)
        codes = self.encoder(self.embed(texts).flatten(1))
        return functional.layer_norm(codes, codes.shape[1:])

    def forward(self, tokens: Tensor) -> Tensor:
        """See NotationNetwork; the tokens as their own code has them."""
        codes = self.encode(tokens)
        if self.training and self._noise:
            codes = codes + self._noise * torch.randn_like(codes)
        places = self._places(codes)
        length = tokens.shape[1]
        places = functional.pad(places, (0, 0, 0, max(0, length - self._longest)))[:, :length]
        states, _ = self.lstm(torch.cat([self.embed(tokens.int()), places], 2))
        logits: Tensor = self.head(torch.cat([states, places], 2)).transpose(1, 2)
        return logits

    def following(self, tokens: Tensor, state: State | None) -> tuple[Tensor, State]:
        """See NotationNetwork; the state is places (places left, B, place), hidden and cell."""
        if state is None:
            raise SpecError(
                "an autoencoder gives texts back, and draws none",
                code="no-generation",
                hint="learn to make codes up, by the objective wgan-gp",
            )
        places, *kept = state
        here = places[0] if len(places) else places.new_zeros(len(tokens), self._place)
        read = torch.cat([self.embed(tokens.int()), here], 1)[:, None]
        states, (hidden, cell) = self.lstm(read, tuple(kept) or None)
        logits: Tensor = self.head(torch.cat([states[:, 0], here], 1))
        return logits, (places[1:], hidden, cell)

    def opened(self, codes: Tensor) -> State:
        """What there is to remember before the first token of texts with these codes."""
        return (self._places(codes).transpose(0, 1),)

    def _places(self, codes: Tensor) -> Tensor:
        """(B, longest, place)."""
        unfolded: Tensor = self.unfold(codes).unflatten(1, (self._longest, self._place))
        return unfolded


class NotationGan(NotationAutoencoder, Latent):
    """An autoencoder of texts, and a generator that makes codes up: so texts are drawn."""

    class Options(NotationAutoencoder.Options):
        """What can be chosen."""

        chance: int = Field(64, ge=1, description="numbers of noise that a code is made from")
        generator: int = Field(512, ge=1, description="units of the generator's layers")

    draws: ClassVar[bool] = True

    def __init__(self, options: Options, vocabulary: int, answers: int) -> None:
        super().__init__(options, vocabulary, answers)
        self.chance, wide = options.chance, options.generator
        self.generator = nn.Sequential(
            nn.Linear(options.chance, wide),
            nn.LeakyReLU(0.2),
            nn.Linear(wide, wide),
            nn.LeakyReLU(0.2),
            nn.Linear(wide, options.code),
        )

    @classmethod
    def build(
        cls,
        options: ModelOptions,
        in_channels: int,
        out_channels: int,
        patch: tuple[int, ...] | None,
    ) -> Self:
        """See `Network.build`."""
        return cls(cast("NotationGan.Options", options), in_channels, out_channels)

    def make(self, noise: Tensor) -> Tensor:
        """See Latent; of mean 0 and variance 1, as all codes."""
        codes: Tensor = self.generator(noise)
        return functional.layer_norm(codes, codes.shape[1:])

    def begin(self, chance: np.random.Generator, count: int) -> State:
        """See NotationNetwork."""
        noise = torch.from_numpy(chance.standard_normal((count, self.chance), np.float32))
        return self.opened(self.make(noise.to(self.head.weight.device)))
