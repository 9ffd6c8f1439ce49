"""Rules and indicators: what they told, beside the same worked out by other means."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from models.decision_rule import conformance, due, grading, sampling, screen
from models.decision_rule.rows import Rows
from models.decision_rule.spec import DecisionSpec
from models.indicator.oee_spec import Oee
from models.indicator.spec import IndicatorSpec
from orchestration.catalogue import find
from orchestration.evaluation import (
    decision_rule,
    indicator,
    iso2859,
)
from orchestration.evaluation.indicators.anew import Anew
from orchestration.evaluation.indicators.oee import oee_of

AT = datetime(2026, 9, 30, 22)  # noqa: DTZ001 - the plant's times are naive UTC


def rule_of(kind: dict[str, Any]) -> DecisionSpec:
    base = {"stage": "incoming", "slug": "decided", "question": "?", "table": "marts.x", "keys": ["id"], "time": "at"}
    return DecisionSpec.model_validate(base | kind)


def decided(spec: DecisionSpec, columns: dict[str, Any]) -> pa.Table:
    """What the engine decides, beside the rows."""
    count = len(next(iter(columns.values())))
    time = np.datetime64("2026-01-01", "us") + np.arange(count) * np.timedelta64(1, "D")
    keys = {"id": pa.chunked_array([[f"R{number:04d}" for number in range(count)]])}
    rows = Rows(pa.table(columns), keys, time)
    engine: Any = sampling if spec.sampling else screen if spec.screen else grading
    conforms = spec.conformance
    if spec.due:
        answers = due.decide(spec.due, rows, AT)
    else:
        answers = conformance.decide(conforms, rows, AT) if conforms else engine.decide(spec.rule, rows)
    beside = {f"row_{name}": each for name, each in columns.items()}
    told = {"class": answers.classes, "reasons": answers.reasons}
    return pa.table({"id": keys["id"], **told, "row_at": pa.array(time), **beside})


def lots(seed: int) -> dict[str, Any]:
    draw = np.random.default_rng(seed)
    share = np.where(np.arange(300) // 60 % 2 == 0, 0.003, 0.03)
    return {
        "supplier": [f"S{number % 2}" for number in range(300)],
        "units": draw.choice([1_200.0, 3_000.0], 300),
        "tested": np.full(300, 125.0),
        "bad": draw.binomial(125, share).astype(float),
    }


SAMPLING = {
    "sampling": {
        "lot_size": "units", "inspected": "tested", "nonconforming": "bad", "of": ["supplier"], "aql": 0.65,
        "resumed": {"S0": ["2026-07-01T00:00:00Z"]},
    }
}  # fmt: skip
GRADING = {
    "grading": {
        "grades": [
            {"name": "A", "limits": {"ah": {"at_least": 100.0}, "mohm": {"at_most": 0.12}}},
            {"name": "B", "limits": {"ah": {"at_least": 97.0}}},
        ],
        "otherwise": "C",
    }
}
SCREEN = {"screen": {"column": "k", "group": ["tray"], "scale": "log"}}


CONFORMANCE = {
    "conformance": {
        "certified": "said", "unit": "unit", "lower": "low", "upper": "high", "measured": "found", "gauge_sd": "gauge",
    }
}  # fmt: skip


DUE = {"due": {"of": ["gauge"], "due": "due_at", "found": "error", "tolerance": "tolerance"}}


def calibrations() -> dict[str, Any]:
    """A hundred days of ten gauges in turn, each due again after ten days; now and then after eight."""
    draw = np.random.default_rng(3)
    day = np.datetime64("2026-01-01", "us") + np.arange(400) * np.timedelta64(1, "D")
    until = day + draw.choice([8, 10, 12], 400) * np.timedelta64(1, "D")
    return {
        "gauge": [f"G{number % 10}" for number in range(400)],
        "due_at": [str(each) for each in until],
        "error": draw.normal(0, 0.6, 400),
        "tolerance": np.full(400, 1.0),
    }


def tables() -> list[tuple[DecisionSpec, dict[str, Any]]]:
    draw = np.random.default_rng(5)
    ah = np.where(draw.random(400) < 0.05, np.nan, draw.normal(100, 2, 400))
    k = np.exp(draw.normal(-3, 0.3, 400))
    k[::40] *= 6
    said = np.where(draw.random(400) < 0.1, np.nan, draw.normal(10, 1.0, 400))
    found = np.where(draw.random(400) < 0.3, np.nan, said + draw.normal(0, 0.3, 400))
    unit = [None if number % 3 == 0 else "um" for number in range(400)]
    return [
        (rule_of(SAMPLING), lots(1)),
        (rule_of(GRADING), {"ah": ah, "mohm": draw.normal(0.1, 0.02, 400)}),
        (
            rule_of(CONFORMANCE),
            {
                "said": said,
                "unit": pa.array(unit),
                "found": found,
                "low": np.full(400, 8.0),
                "high": np.full(400, 12.0),
                "gauge": np.full(400, 0.1),
            },
        ),
        (rule_of(DUE), calibrations()),
        (rule_of(SCREEN), {"k": k, "tray": [f"T{number // 16}" for number in range(400)]}),
    ]


@pytest.mark.parametrize("number", [0, 1, 2, 3, 4])
def test_decisions_are_compared_with_those_worked_out_by_other_means(number: int) -> None:
    spec, columns = tables()[number]
    table = decided(spec, columns)
    classes = table.column("class").to_pylist()
    assert len(set(classes)) > 1
    assert decision_rule.judged(spec, table, AT).verdict == "working"
    place = next(row for row, each in enumerate(classes) if each in ("accepted", "B", "usual", "conforms", "kept"))
    classes[place] = "rejected" if spec.sampling else "outlier"
    wrong = table.set_column(table.column_names.index("class"), "class", pa.array(classes))
    found = decision_rule.judged(spec, wrong, AT)
    assert found.verdict == "failing"
    assert found.value is not None
    assert found.value < 1
    silent = table.set_column(table.column_names.index("reasons"), "reasons", pa.nulls(len(table), pa.string()))
    assert decision_rule.judged(spec, silent, AT).verdict == "failing"


def test_lots_stop_and_resume_as_the_engine_says() -> None:
    table = decided(rule_of(SAMPLING), lots(1))
    assert "stopped" in table.column("class").to_pylist()
    assert iso2859.wrong_oracles() == []


def test_oee_is_worked_out_from_states_by_hand() -> None:
    spec = find("equipment/oee_loss_tree")
    assert isinstance(spec, IndicatorSpec)
    assert isinstance(spec.indicator, Oee)
    hour = pd.Timedelta("1h")
    begin = pd.Timestamp("2026-09-01")
    states = pd.DataFrame(
        {
            "machine_id": "m", "production_day": begin.date(), "shift_code": "early",
            "begun_at": [begin, begin + hour, begin + 2 * hour], "ended_at": [begin + hour, begin + 2 * hour, AT],
            "state_code": ["Execute", "Aborted", "Stopped"], "reason_code": None,
            "produced_count": [40.0, 0.0, 0.0], "good_count": [30.0, 0.0, 0.0], "ideal_rate_per_h": 80.0,
        }
    )  # fmt: skip
    # Half an hour of ideal time, three quarters of it good, in two planned hours.
    found = oee_of(states, spec.indicator, spec.keys, AT)
    assert found.tolist() == pytest.approx([0.5 * 0.75 / 2])


def of(values: list[float], classes: list[str]) -> pd.DataFrame:
    return pd.DataFrame({"value": values, "class": classes}, index=pd.MultiIndex.from_tuples([("a", 1), ("b", 1)]))


@pytest.mark.parametrize(
    ("told", "classes", "gap"),
    [
        ([0.5, 0.6 + 1e-7], ["x", "y"], 0.0),
        ([0.5, np.nan], ["x", "y"], 0.0),
        ([0.5, 0.6], ["x", "x"], 0.0),
        ([0.5, 0.6], ["x", "y"], 1e-8),
    ],
)
def test_an_indicator_must_agree_and_add_up(told: list[float], classes: list[str], gap: float) -> None:
    right = of([0.5, 0.6 + 1e-12], ["x", "y"])
    anew = of([0.5, 0.6], ["x", "y"])
    assert indicator.judged(right, Anew(anew, 1e-15, "losses")).verdict == "working"
    assert indicator.judged(right, Anew(anew[["value"]], 1e-15, "losses")).verdict == "working"
    assert indicator.judged(right, Anew(anew[:1], 1e-15, "losses")).verdict == "failing"
    assert indicator.judged(of(told, classes), Anew(anew, gap, "losses")).verdict == "failing"
