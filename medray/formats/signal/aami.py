"""Symbols of beats as MIT-BIH writes them, and the five classes that they are judged by.

The classes are those of ANSI/AAMI EC57, symbols sorted into them as by de Chazal, O'Dwyer and
Reilly (2004): escape beats (e, j) are N. Two symbols that MIT-BIH does not use and the paper does
not name go with their like: B (a bundle branch block, of either side) and n (a supraventricular
escape beat) are N, r (an R on T) is V, and ? (a beat that could not be told) is Q.
"""

CLASSES = ("N", "S", "V", "F", "Q")

OF_CLASS = {
    "N": "NLRBejn",
    "S": "AaJS",
    "V": "VEr",
    "F": "F",
    "Q": "/fQ?",
}
_CLASS_OF = {symbol: name for name, symbols in OF_CLASS.items() for symbol in symbols}


def aami(symbol: str) -> str | None:
    """The class of an annotation's symbol; None: it is no beat, as "+", "~", "|", "!" or "p"."""
    return _CLASS_OF.get(symbol)
