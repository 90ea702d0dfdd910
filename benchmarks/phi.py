"""How much of what names people the gate of texts takes out: recall by kind, on text made here.

Each document is a sentence with one planted identifier between two that have none; values are drawn
by a seed. An identifier is caught where no word and no digit of it is left, or the document is
quarantined; partly, where something is left. The gate was mended by templates of `tried`, before
those of `held-out` were looked at once. What it changes of sentences that name nobody stands
beside.

The templates are few and made up, so this says which forms pass, not how often they come in notes.

    python benchmarks/phi.py --each 200
"""

import argparse
import os
import re
from collections import Counter, defaultdict
from collections.abc import Callable

import numpy as np

from medray.errors import DataError
from medray.formats.documents.columns import Document
from medray.formats.documents.phi.gate import Gate
from medray.formats.documents.phi.names import GIVEN, SURNAMES
from medray.formats.documents.phi.options import Phi

Draw = Callable[[np.random.Generator], str]
FILLERS = [
    "Blood pressure is 128/76 and heart rate 72.", "No fever, no chills, and no weight loss.",
    "He takes metoprolol 50 mg twice a day.", "Lungs are clear to auscultation on both sides.",
    "Hemoglobin was 13.4 and creatinine 0.9.", "She denies chest pain or shortness of breath.",
    "MRI of the brain showed no acute infarct.", "Continue aspirin 81 mg and follow up in 6 weeks.",
    "Past history of Crohn disease and asthma.", "The wound is 3 x 2 cm, clean and dry.",
    "Ejection fraction is 55 to 60 percent.", "Strength is 5/5 in all extremities.",
]  # fmt: skip
STREETS = ["Oak", "Maple", "Harbor", "Linden", "Old Mill", "Sunset", "Third", "Kensington"]
WAYS = ["Street", "St", "Avenue", "Ave.", "Road", "Lane", "Drive", "Blvd", "Court", "Circle"]
TOWNS = ["Portland, OR", "Springfield, IL", "Fort Wayne, IN", "Albany, NY", "Mesa, AZ"]
SITES = ["mail", "clinic", "stmary", "nwhealth"]
MONTHS = [
    "January", "February", "March", "April", "May", "June", "July", "August", "September",
    "October", "November", "December",
]  # fmt: skip


def listed(chance: np.random.Generator) -> str:
    """A given name and a surname of the gate's lists."""
    first, last = chance.choice(sorted(GIVEN)), chance.choice(sorted(SURNAMES))
    return f"{first} {last}".title()


def unlisted(chance: np.random.Generator) -> str:
    """Two names that stand in no list."""
    made = []
    while len(made) < 2:
        parts = chance.choice(
            ["bo", "ri", "zek", "tov", "an", "qua", "lin", "dou", "mir", "esh"], 3
        )
        word = "".join(parts)
        if word not in GIVEN and word not in SURNAMES:
            made.append(word.title())
    return " ".join(made)


def digits(form: str) -> Draw:
    """Of a form whose every # is a digit."""
    return lambda chance: re.sub("#", lambda _: str(chance.integers(1, 10)), form)


def one_of(*draws: Draw) -> Draw:
    """Of any of several."""
    return lambda chance: draws[int(chance.integers(len(draws)))](chance)


def day(form: str) -> Draw:
    """A day between 1990 and 2025, in a form of `str.format`."""

    def draw(chance: np.random.Generator) -> str:
        month, number = int(chance.integers(1, 13)), int(chance.integers(1, 29))
        year = int(chance.integers(1990, 2026))
        return form.format(
            d=number, m=month, y=year, yy=year % 100, name=MONTHS[month - 1],
            short=MONTHS[month - 1][:3],
        )  # fmt: skip

    return draw


def address(chance: np.random.Generator) -> str:
    """A house in a street."""
    number = chance.integers(1, 9999)
    return f"{number} {chance.choice(STREETS)} {chance.choice(WAYS)}"


def town(chance: np.random.Generator) -> str:
    """A town with its ZIP code."""
    return f"{chance.choice(TOWNS)} {chance.integers(10000, 99999)}"


def email(chance: np.random.Generator) -> str:
    """An address of mail."""
    name = unlisted(chance).lower().replace(" ", str(chance.choice([".", "_", ""])))
    return f"{name}@{chance.choice(SITES)}.example.{chance.choice(['com', 'org'])}"


def url(chance: np.random.Generator) -> str:
    """An address of a page."""
    start = chance.choice(["https://", "www."])
    return f"{start}{chance.choice(SITES)}.example.org/p/{chance.integers(100, 999)}"


def old(chance: np.random.Generator) -> str:
    """An age over 89."""
    return str(chance.integers(90, 105))


US, PLAIN = digits("(###) ###-####"), one_of(digits("###-###-####"), digits("###.###.####"))
NUMERIC = one_of(day("{m}/{d}/{y}"), day("{y}-{m:02}-{d:02}"), day("{m:02}/{d:02}/{yy:02}"))
WORDED = one_of(day("{name} {d}, {y}"), day("{d} {name} {y}"), day("{short} {d}, {y}"))
Kind = tuple[Draw, list[str], list[str]]
KINDS: dict[str, Kind] = {  # values; templates that were tried; templates that were held out
    "name, listed": (
        listed,
        [
            "{} was admitted through the emergency room.",
            "I discussed the plan with {}.",
            "Consent was signed by {}.",
            "The patient, {}, tolerated it well.",
            "{} is a pleasant patient who returns for a check.",
            "Thank you for sending {} to us.",
            "We called {} about the results.",
            "Reviewed with {} at the bedside.",
        ],
        [
            "{} presents with two days of cough.",
            "Spoke with {} by telephone.",
            "Patient is {}, who works as a teacher.",
            "Care was handed over to {}.",
        ],
    ),
    "name, introduced": (
        unlisted,
        [
            "Dr. {} was consulted.",
            "Patient name: {}",
            "His wife {} is with him.",
            "{}, M.D., dictated this note.",
            "Attending: {}",
            "Mrs. {} lives alone.",
            "Referring physician: Dr. {}.",
            "Her daughter, {}, called today.",
            "Seen by {}, RN.",
            "Primary care provider: {}",
            "Emergency contact: {}",
            "Electronically signed by: {}",
            "\nRE: {}\n",
            "\nAttn: {}\n",
            "\nPatient: {}\n",
            "\nSubject: {} MRI Results\n",
        ],
        [
            "Dictated by {}.",
            "Pharmacist: {}",
            "Her neighbor {} found her.",
            "Prof. {} agrees.",
            "Ordering provider: {}",
            "Health care proxy: {}",
            "cc: {}",
            "Ms. {} has no complaints.",
            "{}, RN, was present.",
            "My name is {}.",
            "\nRe.: {}\n",
            "\nIn the matter of: {}\n",
            "\nYour patient: {}\n",
        ],
    ),
    "name, neither": (
        unlisted,
        [
            "{} was admitted through the emergency room.",
            "I discussed the plan with {}.",
            "{} is a pleasant patient who returns for a check.",
            "Reviewed with {} at the bedside.",
        ],
        ["{} presents with two days of cough.", "Care was handed over to {}."],
    ),
    "date": (
        one_of(NUMERIC, WORDED),
        [
            "Admitted on {}.",
            "DOB: {}",
            "Surgery was performed {} without complications.",
            "Last seen {}, doing well.",
            "Date of service {}.",
            "Symptoms began {} after a meal.",
            "Discharged ({}).",
            "CT from {} was reviewed.",
            "Next appointment: {} at 10 am.",
        ],
        [
            "Seen in clinic {}.",
            "Date: {}",
            "Transfused {} and again later.",
            "Onset {}; resolved since.",
            "Expires {}.",
        ],
    ),
    "phone": (
        one_of(US, PLAIN),
        [
            "Call {} with questions.",
            "Phone: {}",
            "His cell is {}.",
            "Contact number {}.",
            "She can be reached at {} after noon.",
            "Tel. {}",
            "Home {}, work same.",
        ],
        ["Mobile: {}", "Please ring {}.", "Pharmacy phone {}.", "Daughter at {}.", "Beeper {}"],
    ),
    "fax": (
        one_of(US, PLAIN),
        ["Fax: {}", "fax number {}", "Faxed to {}.", "Please fax records to {}."],
        ["Fax no. {}", "Results by fax to {}."],
    ),
    "record, account": (
        one_of(digits("####-##"), digits("######"), digits("A####")),
        [
            "MRN: {}",
            "Account number {}.",
            "Medical record number {}",
            "MR# {}",
            "Chart {} was pulled.",
            "Acct: {}",
            "Medical Record No. {}",
            "Policy number: {}",
            "Patient ID {}",
        ],
        [
            "Hospital number {}.",
            "MRN {}",
            "Encounter # {}",
            "Claim number: {}",
            "Account: {}",
            "Accession no. {}",
            "ID {}",
            "Medical record {}",
        ],
    ),
    "social security": (
        digits("###-##-####"),
        ["SSN {}", "SSN: {}.", "Social security number {}.", "SS# {}"],
        ["Social: {}.", "Soc. sec. no. {}"],
    ),
    "e-mail": (
        email,
        ["Write to {}.", "E-mail: {}", "Contact via {} only.", "({})"],
        ["Her address is {}, she says.", "mailto:{}"],
    ),
    "URL, IP": (
        one_of(url, digits("10.##.##.#")),
        ["See {} for images.", "Host {}", "Portal: {}.", "Uploaded from {} today."],
        ["Results are at {} now.", "Address {}"],
    ),
    "street": (
        address,
        ["Lives at {}.", "Address: {}", "Moved to {} last year.", "The home at {} has stairs."],
        ["Residence: {}.", "Found down outside {}."],
    ),
    "town, ZIP": (
        town,
        ["From {}.", "Lives in {}.", "Transferred from {}.", "Mail: {}"],
        ["Resides in {} with family.", "Pharmacy in {}."],
    ),
    "age of 90 or more": (
        old,
        [
            "A {}-year-old woman with a fall.", "Age: {}", "He is {} years old.", "aged {}",
            "This {} y.o. man has dementia.", "Patient is {} yo.", "She is {} and lives alone.",
            "He's {}.", "{}/F, short of breath.", "Her mother is {}.", "His age is {}.",
            "His father passed away at {}.", "Smith, {}, presents with cough.",
        ],
        [
            "{}yo F with a hip fracture.", "The patient, now {} years of age, is frail.",
            "She turned {} in spring.", "{} year-old gentleman.", "At {} she lives by herself.",
            "Now {}, he still drives.", "She will turn {} next week.", "Age today {}.",
        ],
    ),
}  # fmt: skip


def left(value: str, made: str) -> tuple[int, int]:
    """Words and numbers of a value, and how many of them a text still has."""
    parts = re.findall(r"[A-Za-z]{2,}|\d+", value)
    there = Counter(re.findall(r"[A-Za-z]{2,}|\d+", re.sub(r"\[[^\]]*\]", " ", made)))
    return len(parts), sum(there[part] > 0 for part in parts)


def fate(gate: Gate, kind: str, before: str, value: str, template: str, after: str) -> str:
    """What becomes of an identifier: caught, partly, left, or quarantined."""
    text = f"{before} {template.format(value)} {after}"
    try:
        made = gate.passed(Document("d", text, "s", None, None)).text
    except DataError:
        return "quarantined"
    if kind == "date":  # it moves, so its parts may be another's
        return "left" if value in made else "caught"
    own = made.removeprefix(before).removesuffix(after)
    blank = template.replace("{}", " ")
    whole, kept = left(value, own)
    kept -= left(value, blank)[1]
    return "caught" if kept <= 0 else "left" if kept == whole else "partly"


def recall(fates: Counter[str]) -> float:
    """Share of identifiers of which nothing passed."""
    return (fates["caught"] + fates["quarantined"]) / fates.total()


def main() -> None:
    """Print a row for each kind."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--each", type=int, default=200, help="documents of a template")
    parser.add_argument("--part", choices=["tried", "held-out"], default="tried")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    os.environ.setdefault("MEDRAY_DEID_KEY", "k" * 32)
    gate = Gate(Phi())
    for at, (kind, (draw, *templates)) in enumerate(KINDS.items()):
        chance = np.random.default_rng([asked.seed, at])
        found, passed = Counter[str](), defaultdict[str, Counter[str]](Counter)
        for template in templates[asked.part == "held-out"]:
            for _ in range(asked.each):
                before, after = chance.choice(FILLERS, 2, replace=False)
                told = fate(gate, kind, str(before), draw(chance), template, str(after))
                found[told] += 1
                passed[template][told] += 1
        print(f"{kind:20} {recall(found):.3f} of {found.total()}  {dict(found)}")
        for template, fates in passed.items():
            if asked.part == "tried" and recall(fates) < 1:
                print(f"{'':20} {recall(fates):.3f}  {template.strip()}")
    changed = [
        one for one in FILLERS if gate.passed(Document("d", one, "s", None, None)).text != one
    ]
    print(f"sentences that name nobody, changed: {len(changed)} of {len(FILLERS)}")


if __name__ == "__main__":
    main()
