"""The runtime that scores: what it decides, and the reasons it gives for it."""

from __future__ import annotations

import json

import pyarrow as pa
import pytest

from models.scoring.boosters import LinearBooster
from models.scoring.runtime import FORMAT, Scorer

# Class A leans on the thickness, class B on the voltage; B is the likelier for the row of the test.
TERMS = {
    "link": "softmax",
    "column": [0, 1],
    "code": [None, None],
    "mean": [0.0, 0.0],
    "scale": [1.0, 1.0],
    "coefficients": [[1.0, 0.0], [0.0, 2.0]],
    "intercept": [0.0, 0.0],
}


@pytest.mark.parametrize(
    ("costs", "decided", "reason"),
    [
        (None, "B", {"feature": "cell_v", "value": 1.0, "contribution": 2.0}),
        # To take an A for a B is a hundred times as dear as the other way round.
        ([[0.0, 100.0], [1.0, 0.0]], "A", {"feature": "coat_um", "value": 1.0, "contribution": 1.0}),
    ],
)
def test_reasons_speak_for_the_class_that_is_decided(costs, decided, reason):
    bundle = {
        "format": FORMAT,
        "task": "multiclass",
        "classes": ["A", "B"],
        "calibration": {"kind": "temperature", "temperature": 1.5},
        "features": [{"name": "coat_um", "kind": "number"}, {"name": "cell_v", "kind": "number"}],
    }
    scorer = Scorer(bundle | ({"cost_matrix": costs} if costs else {}), [LinearBooster(TERMS)])
    rows = pa.table({"coat_um": [1.0], "cell_v": [1.0]})
    assert list(scorer.predict(rows)["class"]) == [decided]
    assert [json.loads(text) for text in scorer.reasons(scorer.matrix(rows), top_k=1)] == [[reason]]
