"""What names people in networks, as it is written and as it is spelled: mail, pages, addresses.

An address of mail is hidden from harvesters ("x [at] y [dot] com") or dictated ("x at y dot com").
Labels are bounded as the standards bound them (RFC 1035: 63 letters), so that no search takes more
than the length of a text.
"""

import re

_ENDS = (  # of domains; those that are words too ("is", "at", "no", "in") are left out
    r"(?:com|org|net|edu|gov|mil|info|biz|eu|de|uk|fr|nl|ch|ca|au|nz|za|ie|es|pt|se|dk|fi|pl|cz|gr|"
    r"jp|cn|kr|br|mx|ru|io|health|clinic|hospital|care|med)\b"
)
_OPEN, _SHUT = r"\s?[\[({<]\s?", r"\s?[\])}>]\s?"
_LABEL = r"[a-z\d](?:[a-z\d-]{0,62}[a-z\d])?"
_SAID = r"(?:\s(?:dash|hyphen|minus|underscore)\s)"
_NAME = rf"[a-z\d][\w+-]{{0,63}}(?:{_SAID}[\w+-]{{1,63}}){{0,4}}"
_HOST = rf"{_LABEL}(?:{_SAID}{_LABEL}){{0,4}}"
_SPELLED = rf"(?:{_OPEN}(?:dot|punkt|\.){_SHUT}|\s(?:dot|punkt)\s|_dot_)"
_DOT = rf"(?:[.\uff0e]|\s\.\s?|{_SPELLED})"
_IN_BRACKETS = rf"{_OPEN}(?:at|@){_SHUT}"
_SIGN = r"\s?[@\uff20\ufe6b]\s?"
_AT = rf"(?:{_SIGN}|{_IN_BRACKETS}|\sat\s|_at_)"
_WHO = rf"(?<![\w.+-]){_NAME}(?:{_DOT}{_NAME}){{0,4}}"
_WHOLE = rf"{_HOST}(?:{_DOT}{_HOST}){{0,5}}"
_PROVIDERS = r"(?:gmail|googlemail|hotmail|yahoo|outlook|icloud|aol|proton(?:mail)?|gmx)\b"
_PATH = r"(?:[/\\][^\s<>\"]*)?"
_SITES = r"(?:twitter|instagram|facebook|skype|telegram|tiktok|snapchat|user\s?name|login)"
_ACCOUNT = rf"\b{_SITES}(?:\s(?:is|name|id|handle))?"
_COLON = r"\[?:\]?"
_HEX = r"[\da-f]{1,4}"
_SOME = rf"(?:{_HEX}(?::{_HEX}){{0,6}})?"
_OLD = r"(?:[:.][\d.]*\d)?(?:%\w+)?"
_BEFORE, _BEHIND = r"(?<![\w:.])", r"(?![\w:])"

FORMS: tuple[tuple[str, str, int], ...] = tuple(
    (kind, pattern, re.IGNORECASE)
    for kind, pattern in (
        ("email", r"(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63})+"),
        ("email", rf"{_WHO}{_IN_BRACKETS}{_WHOLE}"),
        ("email", rf"{_WHO}{_SIGN}{_LABEL}(?:[.\uff0e]{_LABEL}){{1,5}}(?<=[a-z])"),
        ("email", rf"{_WHO}{_AT}(?!www\.)(?:{_HOST}{_DOT}){{1,6}}{_ENDS}{_PATH}"),
        ("email", rf"{_WHO}{_AT}{_PROVIDERS}"),
        ("url", rf"\b(?:h(?:tt|xx)ps?|s?ftp|file|smb){_COLON}[/\\]{{2}}[^\s<>\"]+"),
        ("url", r"\bwww\.[^\s<>\"]+"),
        ("url", r"(?<!\S)\\\\[\w.-]+\\[^\s<>\"]*"),
        ("url", rf"(?<![a-z\d-])(?:{_LABEL}(?:\.|{_SPELLED})){{1,6}}{_ENDS}{_PATH}"),
        ("address", r"\b\d{1,3}(?:\.\d{1,3}){3}\b"),
        ("address", rf"\b\d{{1,3}}(?:(?:\.|{_SPELLED})\d{{1,3}}){{3}}\b"),
        # IPv6 (RFC 4291): eight groups; or some, one gap, and no ratio ("1::2"). IPv4 may end it.
        ("address", rf"{_BEFORE}{_HEX}(?::{_HEX}){{5}}:(?:{_HEX}:{_HEX}|[\d.]{{7,15}}){_BEHIND}"),
        ("address", rf"{_BEFORE}(?=[\da-f:.]*[\da-f]{{3}}){_SOME}::{_SOME}{_OLD}{_BEHIND}"),
        ("address", r"(?<![\w:-])[\da-f]{2}([:-])(?:[\da-f]{2}\1){4}[\da-f]{2}(?![\w:-])"),
        ("address", r"\b[\da-f]{4}\.[\da-f]{4}\.[\da-f]{4}\b"),
        ("account", rf"{_ACCOUNT}(?:\s?[:=]\s?@?|\s@)(?P<value>[\w.-]*\w)"),
        ("account", rf"{_ACCOUNT}\s(?=[\w.-]*[a-z])(?P<value>[\w.-]*\d[\w.-]*)\b"),
        ("number", r"\b[\da-f]{8}-(?:[\da-f]{4}-){3}[\da-f]{12}\b"),
        ("number", r"(?<![\d.])[0-2](?:\.\d+){5,}(?![\w.]*\w)"),
    )
)  # fmt: skip
"""Kind and form, as `PATTERNS` has them."""

LEFT: tuple[tuple[str, int], ...] = (
    (r"\w[@\uff20\ufe6b]\w", 0),
    (r"://|\bwww\.", re.IGNORECASE),
    (rf"{_OPEN}at{_SHUT}|\s(?:dot|punkt)\s(?:com|org|net|edu|gov)\b", re.IGNORECASE),
)
"""Wider forms, none of which may be left."""
