"""What training and prediction need to know of texts."""

from typing import Literal

from pydantic import Field

from medray.formats.documents.columns import TEXT
from medray.modalities.plan import Plan, PlanOptions


class TextPlan(Plan):
    """The plan of a training on texts. Its words and letters are the vocabulary: what a package
    holds of the training texts are words that come `least` times in them."""

    modality: Literal["text"] = "text"
    column: str = Field(description="of the texts")
    words: tuple[str, ...] = Field(description="of the vocabulary, the most frequent first")
    letters: str = Field(description="that are known, the most frequent first")
    longest: int | None = Field(description="words that are read of a text; null: all")
    between: int | None = Field(
        None, description="other spans between two that may be related; null: any number"
    )
    alike: bool = Field(True, description="whether spans of the same text may be related")
    phrase: int = Field(3, description="words of the longest n-gram around a pair")
    opening: int | None = Field(None, description="first words whose n-grams count apart, too")
    spoken: bool = Field(False, description="whether what is spelled out is read as it is written")
    writes: tuple[str, ...] = Field(
        (),
        description="tokens of summaries that need not be copied, the most frequent first; of one "
        "that follows on another without a blank ## and the token",
    )
    reads: tuple[str, ...] = Field((), description="what the network reads beside words")
    rarity: tuple[float, ...] = Field(
        (), description="of n-grams by their hashes, the logarithm of how rare they are"
    )


class TextPlanOptions(PlanOptions):
    """What a job may fix."""

    column: str = Field(TEXT, description="of the texts")
    least: int = Field(2, ge=1, description="times that a word of the vocabulary comes")
    between: int | None = Field(
        None,
        ge=0,
        description="of relations: other spans between two that are asked about, at most; in lists "
        "of dozens most pairs are far apart, and unrelated. null: any number",
    )
    alike: bool = Field(
        True,
        description="of relations: whether two spans of the same text are asked about; a drug that "
        "is named twice does not act on itself",
    )
    phrase: int = Field(
        3,
        ge=1,
        le=8,
        description="of relations: words of the longest n-gram, for networks that read n-grams",
    )
    opening: int | None = Field(
        None,
        ge=1,
        description="of texts as a whole: first words whose n-grams count apart as well, for "
        "networks that read n-grams; how a text begins may say what it is about. null: none",
    )
    spoken: bool = Field(
        False,
        description="of summaries: numbers and abbreviations that a speaker spells out are read, "
        "and stand in the summary, as they are written: 'seventy six' as 76, 'E K G' as EKG",
    )
    longest: int | None = Field(
        None, ge=8, description="words that are read of a text, the first ones; null: all"
    )
