"""What was spelled out by a speaker, as it is written: "seventy six" is 76, "E K G" is EKG.

Only what can be read in one way: "one twenty", "ninety eight point six", "twenty first" and "twelve
and a half" stay as they are, for half of such a number would be a wrong one. So do numbers below
ten, which notes have in words as often as not.
"""

from collections.abc import Iterator, Sequence

import numpy as np

_WORDS = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven",
    "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
_ONES = {word: at for at, word in enumerate(_WORDS)}
_TENS = {
    "twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80,
    "ninety": 90,
}  # fmt: skip
_POWERS = {"thousand": 1000, "hundred": 100}
_NUMBERS = {*_ONES, *_TENS, *_POWERS, "million", "oh"}
_JOINTS = ("and", "-", "point")
_PARTS = {"half", "quarter", "quarters", "third", "thirds"}
_ORDINALS = {
    "first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth",
    "hundredth", "thousandth",
}  # fmt: skip
_LEAST = 10  # numbers below stay words
_NO_LETTERS = {"A", "I"}  # that are words, too


def written(
    tokens: Sequence[str], begins: np.ndarray, ends: np.ndarray
) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Tokens of which those that spell one out together are one.

    Args:
        tokens: of a text.
        begins: first characters of the tokens, (n,).
        ends: those behind their last, (n,).

    Returns:
        tokens, begins and ends of as many or fewer.
    """
    made = [*_joined(tokens)]
    firsts = np.array([first for _, first, _ in made], np.int64)
    lasts = np.array([behind - 1 for _, _, behind in made], np.int64)
    return [token for token, _, _ in made], begins[firsts], ends[lasts]


def _joined(tokens: Sequence[str]) -> Iterator[tuple[str, int, int]]:
    """Each token, and which of those that were given it stands for: the first, one behind the
    last."""
    words, at = [token.lower() for token in tokens], 0
    while at < len(tokens):
        if words[at] in _NUMBERS:
            behind = _numbers(words, at)
            number = _number(words[at:behind])
            whole = words[at - 1 : at] != ["point"] and not _goes_on(words, behind)
            if number is not None and number >= _LEAST and whole:
                yield str(number), at, behind
            else:
                yield from ((tokens[one], one, one + 1) for one in range(at, behind))
        else:
            behind = max(_letters(tokens, at), at + 1)
            yield "".join(tokens[at:behind]), at, behind
        at = behind


def _numbers(words: Sequence[str], at: int) -> int:
    """Where what may be one number ends that begins with a word of numbers."""
    while at < len(words):
        joint = words[at] in _JOINTS and at + 1 < len(words) and words[at + 1] in _NUMBERS
        if joint and words[at] == "and":
            joint = words[at - 1] in _POWERS
        if not joint and words[at] not in _NUMBERS:
            break
        at += 1
    return at


def _number(words: Sequence[str]) -> int | None:
    """What words say; None: it is no number, or not one alone."""
    for power, value in _POWERS.items():
        if power in words:
            at = words.index(power)
            high = _number(words[:at])
            rest = [word for word in words[at + 1 :] if word != "and"]
            low = _number(rest) if rest else 0
            if not high or low is None or low >= value or (value == 100 and high >= 20):
                return None
            if value == 1000 and low < 100 and high > 20 and words[at - 1] == "two":
                return None  # "June thirty two thousand four"
            return high * value + low
    if len(words) == 3 and words[1] == "-":
        return _number([words[0], words[2]])
    if len(words) == 1:
        return _ONES.get(words[0], _TENS.get(words[0]))
    if len(words) < 2 or "-" in words:
        return None
    first, second = words[0], _number(words[1:])
    if second is None:
        return None
    if first in _TENS and 0 < second < 10:
        return _TENS[first] + second
    # Years: "nineteen ninety nine", "twenty twelve".
    if first in ("eighteen", "nineteen") and 10 <= second < 100:
        return _ONES[first] * 100 + second
    return 2000 + second if first == "twenty" and 10 <= second < 20 else None


def _goes_on(words: Sequence[str], behind: int) -> bool:
    """Whether a number does not end with its words: it is an ordinal, or has a fraction."""
    after = words[behind : behind + 3]
    if after[:1] == ["-"]:
        after = after[1:]
    if after[:1] == ["and"]:
        return not _PARTS.isdisjoint(after)
    return bool(after) and (after[0] in _ORDINALS or after[0] in _PARTS)


def _letters(tokens: Sequence[str], at: int) -> int:
    """Where letters end that are said one by one, at the same place if these are none."""
    behind = at
    while behind < len(tokens) and len(tokens[behind]) == 1 and "A" <= tokens[behind] <= "Z":
        behind += 1
    several = tokens[at:behind]
    if len(several) < 2 or (len(several) == 2 and not _NO_LETTERS.isdisjoint(several)):
        return at
    return behind
