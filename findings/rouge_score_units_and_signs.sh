#!/usr/bin/env bash
# Tool: rouge-score
# Version: 0.1.2
# Behaviour: a dose in grams scores 1.0 against the same number of micrograms, and "> 3.5" against "< 3.5"
# Seen: rouge1, rouge2 and rougeL of "Take 50 g daily." against "Take 50 µg daily." are 1.0
set -eu
venv="$(mktemp -d)/venv"
python3 -m venv "$venv"
"$venv/bin/pip" -q install rouge-score==0.1.2
cd "$(dirname "$venv")"
"$venv/bin/python" - <<'PYTHON'
from rouge_score.rouge_scorer import RougeScorer

scorer = RougeScorer(["rouge1", "rouge2", "rougeL"])
for wanted, given in (
    ("Take 50 µg daily.", "Take 50 g daily."),
    ("Potassium < 3.5 today", "Potassium > 3.5 today"),
):
    scores = {name: one.fmeasure for name, one in scorer.score(wanted, given).items()}
    print(repr(wanted), repr(given), scores)
    assert set(scores.values()) == {1.0}, "the texts are told apart now"
PYTHON
