"""What names people in text and has a form: addresses, numbers, ages; and what looks like it.

After the eighteen identifiers of HIPAA's safe harbour (45 CFR 164.514 (b)(2)).
"""

import re

from medray.formats.documents.phi.ages import AGES
from medray.formats.documents.phi.online import FORMS as ONLINE
from medray.formats.documents.phi.online import LEFT as ONLINE_LEFT

UPPER = "".join(
    chr(code) for code in (*range(0x530), *range(0x1E00, 0x2000)) if chr(code).isupper()
)
"""Letters that names begin with, of Latin, Greek and Cyrillic script, for a class of a pattern."""
LETTER = r"[^\W\d_]"

_WAYS = (
    r"(?:street|st|avenue|ave|road|rd|boulevard|blvd|lane|ln|drive|dr|court|ct|way|place|pl|"
    r"highway|hwy|terrace|ter|parkway|pkwy|square|sq|circle|cir|trail|trl|alley|plaza|crescent|"
    r"cres|close|row|walk|loop|path|ridge|crossing|heights|mews|turnpike|gardens|grove|rise|parade|"
    r"esplanade)"
)
_LABELS = (
    r"(?:mrn|med(?:ical)?\.?\s+rec(?:ord)?\.?(?:\s+(?:number|no\.?|num))?|"
    r"record\s+(?:number|no\.?)|account(?:\s+(?:number|no\.?))?|acct|"
    r"(?:patient|hosp(?:ital)?|encounter|visit|case|member|policy|licen[cs]e|serial|device|accession|"
    r"chart|mr|group|subscriber|claim|certificate|badge|passport|medicare|medicaid|insurance|vehicle|"
    r"plate)"
    r"(?:\s+(?:id|number|no\.?)|\s*#)|ssn|nhs\s+(?:number|no\.?))"
)
_NUMBER = r"\W{0,3}(?:number\W{0,2}|no\.?\W{0,2})?(?:is\W{1,2})?(?P<value>[+(]?\d[\d ()./-]{4,}\d)"
_PHONE = (
    r"(?:\+?\d{1,3}[ .-]?)?(?:\(\d{3}\)\s?|\d{3}[ .-])\d{3}[ .-]\d{4}(?:\s*(?:x|ext\.?)\s*\d+)?"
)
_MARK = r"(?P<value>[A-Z]{0,4}-?\d[\dA-Z-]*(?:(?: \d{2,4}){2,}\b)?)"
_FLAT = r"(?:,?\s+(?:apt|suite|unit|#)\.?\s*\w+)?"
_FORMS: tuple[tuple[str, str, int], ...] = (
    *ONLINE,
    ("ssn", r"\b\d{3}([ .-])\d{2}\1\d{4}\b", 0),
    (
        "mrn",
        rf"\b{_LABELS}\W{{0,4}}(?:is\s+|#\s*)?{_MARK}",
        re.IGNORECASE,
    ),
    ("mrn", r"\b(?:charts?|ID)\W{1,3}(?P<value>[A-Z]{0,4}-?\d[\dA-Z-]{3,})", re.IGNORECASE),
    (
        "mrn",
        r"\b(?:passport|plate|VIN|DEA|NPI)\W{1,3}(?P<value>[A-Z\d-]{4,})(?<=\d)",
        re.IGNORECASE,
    ),
    ("mrn", r"\b(?i:licen[cs]e|S/N|SN|serial)\W{1,3}(?P<value>(?=[A-Z-]*\d)[A-Z\d-]{5,})\b", 0),
    ("mrn", r"\b(?i:plate)\W{1,3}(?P<value>[A-Z]{1,3}[- ](?:[A-Z]{1,3} ?)?\d{1,4})\b", 0),
    ("fax", rf"\bfax{_NUMBER}", re.IGNORECASE),
    ("phone", rf"(?<![\w-]){_PHONE}\b", re.IGNORECASE),
    ("phone", r"(?<!\w)\+\d[\d ()-]{7,}\d\b", 0),
    ("phone", rf"\b(?:phone|tel(?:ephone)?|cell|mobile|pager){_NUMBER}", re.IGNORECASE),
    ("phone", r"\b(?:call|text|reach)\b[^.\n\d]{0,30}(?P<value>\d{3}[ .-]\d{4})\b", re.IGNORECASE),
    (
        "address",
        rf"\b\d{{1,5}}\s+(?:[NSEW]\.?\s+)?(?:[{UPPER}][\w'.-]{{0,40}}\s+){{1,3}}(?i:{_WAYS})\b\.?{_FLAT}",
        0,
    ),
    # Of Britain, whose last two letters are none of CIKMOV ("B12 5MG"), and of Germany.
    ("address", r"\b[A-Z]{1,2}\d[A-Z\d]?\s\d[ABD-HJLNP-UW-Z]{2}\b", 0),
    (
        "address",
        rf"\b[{UPPER}][\w-]{{1,40}}(?:stra\u00dfe|strasse|str\.|weg|platz|allee|gasse)\s+\d{{1,4}}\w?\b",
        0,
    ),
    ("address", r"(?<![\w.-])-?\d{1,3}\.\d{4,},\s*-?\d{1,3}\.\d{4,}\b", 0),
    ("address", r"\bP\.?\s?O\.?\s+box\s+\d+", re.IGNORECASE),
    (
        "address",
        rf"\b(?:[{UPPER}]{LETTER}{{1,40}}\s?){{1,2}},\s*[A-Z]{{2}}\s+\d{{5}}(?:-\d{{4}})?\b",
        0,
    ),
    ("address", r"\bzip(?:\s+code)?\W{1,3}(?P<value>\d{5}(?:-\d{4})?)\b", re.IGNORECASE),
    *AGES,
    ("number", r"(?<![\w.])\d{7,}\b", 0),
)
PATTERNS = tuple((kind, re.compile(pattern, flags)) for kind, pattern, flags in _FORMS)
"""Kind and form, in the order in which they are looked for; what is replaced is the group `value`,
or all of it."""

LEFT: tuple[re.Pattern[str], ...] = tuple(
    re.compile(pattern, flags)
    for pattern, flags in (
        *ONLINE_LEFT,
        (r"(?<![\d.])\d(?:[ .()-]?\d){8,}", 0),
        (rf"\b{_LABELS}\W{{0,3}}[A-Z]{{0,4}}-?\d", re.IGNORECASE),
        (rf"\b(?i:mr|mrs|ms|dr|prof)\.?\s+[{UPPER}]{LETTER}", 0),
        (r"\b(?:19|20)\d\d[-/.]\d{1,2}[-/.]\d{1,2}\b|\b\d{1,2}([-/.])\d{1,2}\1(?:19|20)\d\d\b", 0),
    )
)  # fmt: skip
"""Wider forms, none of which may be left outside of what has been replaced."""
