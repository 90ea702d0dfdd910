"""Codes of FHIR as MEDS names them: the vocabulary, //, the code."""

from functools import lru_cache
from typing import Any

SYSTEMS = {
    "http://loinc.org": "LOINC",
    "http://snomed.info/sct": "SNOMED",
    "http://www.nlm.nih.gov/research/umls/rxnorm": "RXNORM",
    "http://hl7.org/fhir/sid/cvx": "CVX",
    "http://hl7.org/fhir/sid/icd-9-cm": "ICD9CM",
    "http://hl7.org/fhir/sid/icd-10-cm": "ICD10CM",
    "http://hl7.org/fhir/sid/icd-10": "ICD10",
    "http://hl7.org/fhir/sid/ndc": "NDC",
    "http://www.ama-assn.org/go/cpt": "CPT",
    "http://www.whocc.no/atc": "ATC",
    "http://www.nubc.org/patient-discharge": "NUBC",
}
UNCODED = "UNKNOWN//uncoded"
MOST = 200  # letters of a code


@lru_cache(4096)
def vocabulary(system: str) -> str:
    """Its short name; of a system that is not known the last part of its address."""
    known = SYSTEMS.get(system)
    if known is None:
        last = system.rstrip("/").rpartition("/")[2].rpartition(":")[2]
        known = "".join(one for one in last.upper() if one.isalnum() or one in "-._")[:MOST]
    return known or "UNKNOWN"


def code_of(concept: Any) -> str:
    """The first code of a CodeableConcept that has one; UNCODED where words are all there is."""
    try:
        for coding in concept["coding"]:
            if code := coding.get("code"):
                return f"{vocabulary(coding.get('system', ''))}//{code[:MOST]}"
    except (KeyError, TypeError, AttributeError):
        pass
    return UNCODED
