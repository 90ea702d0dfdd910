"""Ages of 90 and more, in figures and in words, as notes and speakers tell them.

HIPAA's safe harbour (45 CFR 164.514 (b)(2)(i)(C)) has all of them be one. What is no age is told by
what stands behind it: "he is 92 kg", "she's 95% on air", "I am a hundred percent sure".
"""

import re

_ONES = r"(?:one|two|three|four|five|six|seven|eight|nine)"
_TEENS = r"(?:ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen|seventeen|eighteen|nineteen)"
_LESS = rf"(?:{_ONES}|{_TEENS}|twenty(?:[- ]{_ONES})?)"
_WORDS = rf"(?:ninety(?:[- ]{_ONES})?|(?:one|a)\s+hundred(?:\s+and)?(?:[- ]{_LESS})?)"
_NTH = (
    r"(?:ninetieth|hundredth|"
    r"ninety[- ](?:first|second|third|fourth|fifth|sixth|seventh|eighth|ninth))"
)
_FIGURES = r"(?:9\d|1[0-2]\d)"
_ONE = rf"(?<!\d[.,/])\b(?:{_FIGURES}|{_WORDS})"
_OLD = rf"(?P<value>{_ONE}(?:\s?(?:-|\u2013|to|or)\s?{_ONE})?)"
_YEARS = r"[- ]?(?:and\s+a\s+half[- ])?(?:years?|yrs?\.?|y\.?)[- ]?"
_UNITS = (
    r"(?:percent|per\s?cent|kg|kilos?|kilograms?|lbs?|pounds?|g|grams?|mg|mcg|ml|cc|cm|mm|m|"
    r"met(?:er|re)s?|miles?|yards?|foot|feet|ft|inch(?:es)?|degrees?|f|c|bpm|beats?|"
    r"seconds?|min(?:utes)?|hours?|hrs?|days?|weeks?|months?|times|over|on\s+(?:room\s+air|ra|\d)|"
    r"units?|dollars?|calories|sure)\b"
)
_NO_MEASURE = rf"\b(?![.,/-]?\d|\s?(?:-|\u2013|to|or)\s?\d|\s?[%\u00b0]|[- ]?{_UNITS})"
_KIN = (
    r"(?:mother|father|mom|dad|grandmother|grandfather|grandma|grandpa|husband|wife|brother|sister|"
    r"aunt|uncle|spouse|partner|neighbou?r|friend|son|daughter|patient|pt|resident)"
)
_WHOM = r"(?:woman|man|lady|gentleman|female|male)"
_WHO = rf"(?:s?he|they|I|you|who|{_KIN}|{_WHOM})"
_IS = (
    r"(?:\s+(?:is|was|are|were|am|will\s+be|became|reached)|"
    r"['\u2019](?:s|re|m|ll\s+be))\s+"
    r"(?:(?:now|almost|nearly|about|around|only|already|currently|over|just|going\s+to\s+be|"
    r"going\s+on|approximately|at\s+least)\s+){0,2}"
)
_REACHED = (
    r"(?:turn(?:s|ed|ing)?|pushing|"
    r"(?:died|dead|deceased|alive|living|passed(?:\s+away|\s+on)?|lived)\s+(?:at|to(?:\s+be)?|until))"
)
_IN_THE = r"in\s+(?:his|her|their|my|your)\s+(?:(?:early|mid|middle|late|upper|low|high)[- ]?)?"
_OF = r"(?:of|is|was|at|today|now|about|over|approx\.?|approximately|in\s+years|years|yrs)"
_VERB = r"(?:an?|is|was|has|had|who|with|presents|presented|came|comes|returns|male|female)"
_SOME = rf"(?P<value>{_FIGURES})"

_ANY_CASE = (
    rf"{_OLD}{_YEARS}(?:old\b|young\b|of\s+age\b|/?o\b|\.?o\.?\b)",
    rf"(?<!past )(?<!last )(?<!next )\b{_SOME}\s?(?:years?|yrs?)\b",
    rf"\bage[ds]?\W{{0,3}}(?:{_OF}\W{{1,3}}){{0,2}}{_OLD}\b",
    rf"\b{_REACHED}\s+{_OLD}{_NO_MEASURE}",
    rf"\b{_WHO}{_IS}{_OLD}{_NO_MEASURE}",
    rf"\bat\s+{_OLD}\b(?=,?\s(?:s?he|they|I)\b)",
    rf"\bnow\s+{_SOME}(?=[,;)])",
    rf"\b{_KIN}(?:,\s?|\s\(|\s){_SOME}(?=[,;)])",
    rf"\b(?P<value>{_FIGURES}(?:st|nd|rd|th)|{_NTH})\s+birthday\b",
    rf"\b{_IN_THE}(?P<value>(?:9|1[0-2])0['\u2019]?s|nineties|hundreds)\b",
    r"\b(?P<value>nonagenarian|(?:super)?centenarian)",
    rf"\b{_SOME}[- ]{_WHOM}\b(?!\s(?:patients|subjects|rats|mice))",
)
_AS_WRITTEN = (
    rf"(?:^|\.\s+|\b(?i:an?|pt|patient)\s+){_SOME}\s?[MF]\b",
    rf"\b{_SOME}(?:\s?/\s?|\s?[yY](?:/?[oO])?\.?\s?/?\s?)[MF]\b",
    rf"\b[MF]\s?/\s?{_SOME}\b(?!/)",
    rf"\b[^\W\d_a-z][\w'\u2019-]{{1,40}},\s{_SOME}(?=,\s{_VERB}\b)",
)
AGES: tuple[tuple[str, str, int], ...] = (
    *(("age", pattern, re.IGNORECASE) for pattern in _ANY_CASE),
    *(("age", pattern, re.MULTILINE) for pattern in _AS_WRITTEN),
)
"""As `patterns.PATTERNS` has forms: what is replaced is the group `value`."""
