"""Names by what stands beside them: titles, kin, roles, and the lines that letters begin with."""

import re
from collections.abc import Iterator
from itertools import takewhile

from medray.formats.documents.phi.names import listed
from medray.formats.documents.phi.patterns import LETTER, UPPER

GAP = r"[^\S\r\n]"  # a blank, one that breaks no line among them
WORD = rf"[{UPPER}](?:{LETTER}|['\u2019\u2010\u2011-]){{0,40}}{LETTER}"  # no name is longer
_PARTICLES = (
    rf"(?:(?:van|von|der|den|de|del|della|di|da|la|le|du|bin|al|el|ter|zu|dos){GAP}+){{0,3}}"
)
_TITLED = re.compile(
    rf"\b(?:Dr|Mr|Mrs|Ms|Miss|Prof|Professor|Doctor|Nurse|DR|MR|MRS|MS)\b\.?{GAP}+{_PARTICLES}"
    rf"(?P<name>(?:{WORD}|[{UPPER}]\.?)(?:{GAP}+(?:[{UPPER}]\.{GAP}+)?{WORD})?)"
)
_NAMED = re.compile(
    rf"\b(?i:name|patient name|signed by|dictated by|seen by|referred by|attending|surgeon|"
    rf"my name is|daughter|son|wife|husband|brother|sister|mother|father|partner|spouse|"
    rf"fianc[eé]e?|boyfriend|girlfriend|friend|neighbou?r|roommate|aunt|uncle|niece|nephew|cousin|"
    rf"grandson|granddaughter|grandmother|grandfather|named)\b{GAP}*"
    rf"(?:[:,]|is)?{GAP}+(?P<name>{WORD}(?:,?{GAP}+(?:[{UPPER}]\.?{GAP}+)?{WORD}){{0,2}})"
)
# Not of those who speak in a transcript ("Doctor: How …").
_ROLE = re.compile(
    rf"\b(?i:provider|physician|pharmacist|technician|resident|fellow|consultant|author|contact|"
    rf"next of kin|proxy|employer|insured|subscriber|cc|by){GAP}*:{GAP}*"
    rf"(?P<name>{WORD}(?:,?{GAP}+(?:[{UPPER}]\.?{GAP}+)?{WORD}){{0,2}})"
)
_SEVERAL = re.compile(
    rf"\b(?:Drs|Messrs|Doctors)\b\.?{GAP}+"
    rf"(?P<name>{WORD}(?:(?:,{GAP}*|{GAP}+(?:and|&){GAP}+){WORD}){{0,3}})"
)
_LETTER = re.compile(rf"\bDear{GAP}+(?P<name>{WORD}(?:{GAP}+{WORD})?)(?=[,:\n])")
_FAREWELL = re.compile(
    rf"\b(?i:sincerely|regards|yours truly|yours faithfully)\b,?\s+"
    rf"(?P<name>{WORD}(?:{GAP}+(?:[{UPPER}]\.?{GAP}+)?{WORD}){{0,2}})"
)
_SIGNED = re.compile(
    rf"(?P<name>{WORD}{GAP}+(?:[{UPPER}]\.?{GAP}+)?{WORD}),?{GAP}+(?:M\.?D|D\.?O|R\.?N)\b"
)
_FORMS = (_TITLED, _SEVERAL, _NAMED, _ROLE, _LETTER, _FAREWELL, _SIGNED)
# What a letter is about, or whom it goes to: of several words, since one is seldom a name alone.
_SEVERAL_WORDS = (
    rf"(?P<name>(?:{WORD},?{GAP}+(?:[{UPPER}]\.?{GAP}+)?|[{UPPER}]\.?(?:{GAP}*[{UPPER}]\.)?{GAP}+)"
    rf"{WORD}(?:,?{GAP}+{WORD}){{0,2}})"
)
_ABOUT = (
    re.compile(
        rf"(?:(?<![\w'\u2019-])(?i:re|regarding|in the matter of|ref|attn|attention)|"
        rf"^{GAP}*(?i:subject|to|from))"
        rf"\.?{GAP}*:{GAP}*{_SEVERAL_WORDS}",
        re.MULTILINE,
    ),
    # Alone in its line: in a transcript it is who speaks.
    re.compile(
        rf"^{GAP}*(?i:(?:(?:your|our|the|my){GAP}+)?(?:patient|pt|client)){GAP}*:{GAP}*"
        rf"{_SEVERAL_WORDS}{GAP}*$",
        re.MULTILINE,
    ),
)
BESIDE = re.compile(rf"{GAP}+(?:[{UPPER}]\.?{GAP}+)?(?P<name>{WORD})")
_TOPICS = listed(
    """
    a abdominal abnormal acute admission admissions after all an and annual ankle any appeal
    appointment at authorization back before benefits billing biopsy blood brain breast cancer
    cardiac cardiology care case chest chief child chronic claim clinic clinical colonoscopy
    complaint concern concerns consult consultation consulting continued coordination copy ct
    death department dermatology diabetes diabetic diagnosis disability discharge doctor drug
    ear ecg echo elbow elective emergency eeg ekg evaluation exam examination extended eye family
    final fitness follow followup follow-up foot for form from general genetic gentlemen good
    health heart hello hi high hip home hospital hypertension i icu if imaging in initial
    insurance intensive internal it job knee lab laboratory labs ladies left leg letter liver low
    lower lumbar lung mammogram management medical medication medications medicine meeting mental
    missed mri my neck neurology new no note notice nurse nursing of office oh ok okay old on
    oncology operation operative or order our outpatient overdue pain pathology patient
    pediatric pelvic permission pharmacy physical please post postoperative pre pregnancy
    preoperative prescription primary prior procedure progress prostate psychiatric pulmonary
    question questions radiology recent record records referral refill rehab rehabilitation renal
    renewal repeat report request respiratory response result results return review right routine
    scan scheduled screening second severe short shoulder side skilled skin sleep social specialty
    spine status stroke surgery surgical swallow team test testing thank thanks that the their
    therapy there they this thyroid to transfer treatment ultrasound unit update upper urgent
    urology vaccination vaccine visit ward we weight well what when where whom work wound wrist
    xray x-ray yeah yes you your
    """
)
"""Words that lines are about which name nobody."""


def introduced(text: str) -> Iterator[str]:
    """Names in a text, each as it stands there."""
    for pattern in _FORMS:
        for one in pattern.finditer(text):
            yield one["name"]
    for pattern in _ABOUT:
        for one in pattern.finditer(text):
            words = one["name"].split()
            named = [*takewhile(lambda word: word.strip(",.").casefold() not in _TOPICS, words)]
            if len(named) > 1:
                yield " ".join(named)
