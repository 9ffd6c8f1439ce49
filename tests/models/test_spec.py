"""A wrong solution is refused before anything runs."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from models.spec import PredictiveSpec

GOOD = {
    "stage": "finishing",
    "slug": "cells",
    "question": "?",
    "table": "marts.cell_at_formation",
    "acts_at": "formation",
    "keys": ["cell_id"],
    "target": {"column": "is_premium"},
    "task": "binary",
}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"slug": "Bad Slug"}, "slug"),
        ({"task": "clustering"}, "task"),
        ({"keys": []}, "keys"),
        ({"keys": ["is_premium"]}, "also a key"),
        ({"featurs": {}}, "featurs"),
        ({"target": {"colum": "y"}}, "colum"),
        ({"quantiles": [0.5, 0.1, 0.9]}, "three rising"),
        ({"task": "regression", "costs": {"false_positive": 1}}, "costs belong to classification"),
        ({"task": "multiclass", "costs": {"false_positive": 1}}, "costs.matrix"),
        ({"costs": {"matrix": {"a": {"b": 1}}}}, "costs.matrix"),
        ({"search": {"trials": 0}}, "trials"),
        ({"search": {"libraries": ["catboost"]}}, "libraries"),
        ({"split": {"holdout_ratio": 0.9}}, "holdout_ratio"),
        ({"action": {"kind": "explode"}}, "kind"),
        ({"metric": "auc"}, "no metric 'auc'; it has roc_auc, .*recall, error_rate"),
        ({"metric": "rmse"}, "task binary has no metric 'rmse'"),
        ({"metric": "error_rate", "costs": {"false_negative": 1}}, "it has .*expected_cost"),
        ({"table": "marts.cell"}, "is for people and labels and shows what came later; read marts.cell_at_<step>"),
        ({"table": "lake.marts.Cell", "acts_at": None}, "shows what came later"),
        ({"acts_at": None}, "write acts_at: formation, found None"),
        (
            {"table": "marts.cell_by_roll_at_ageing"},
            "shows what is known at ageing: write acts_at: ageing, found formation",
        ),
        ({"acts_at": "grading"}, "shows what is known at formation: write acts_at: formation, found grading"),
        (
            {"table": "marts.mother_roll_in_drying", "acts_at": None},
            "known at drying: write acts_at: drying, found None",
        ),
    ],
)
def test_a_wrong_attribute_is_named(change, says):
    with pytest.raises(ValidationError, match=says):
        PredictiveSpec(**(GOOD | change))


@pytest.mark.parametrize("table", ["marts.cell_label", "marts.machine_hour", "cells.csv", "marts.cell.csv"])
def test_only_tables_of_cells_by_step_need_the_step(table):
    assert PredictiveSpec(**(GOOD | {"table": table, "acts_at": None})).acts_at is None


def test_the_solutions_name_their_margin_and_their_reasons():
    files = sorted(Path("orchestration/defs").resolve().glob("*/*/defs.yaml"))
    predictive = [
        content["attributes"]
        for content in (yaml.safe_load(file.read_text(encoding="utf-8")) for file in files)
        if content["type"].endswith("PredictiveModel")
    ]
    assert len(predictive) >= 3
    for attributes in predictive:
        assert 0 < attributes["gates"]["not_worse_margin"] <= 0.05
        assert {"rows", "sample_rows"} <= set(attributes["explain"])


def test_the_solutions_watch_every_line_supplier_shift_and_product_that_their_table_knows():
    root = Path("orchestration/defs").resolve()
    slices = {
        file.parent.name: set(yaml.safe_load(file.read_text(encoding="utf-8"))["attributes"].get("slices", []))
        for file in root.glob("*/*/defs.yaml")
    }
    cell = {"line_code", "lfp_supplier_code", "electrolyte_supplier_code", "shift_code", "product_code"}
    assert slices["yield_root_cause"] == slices["conversion_cost"] == cell
    assert slices["predictive_maintenance"] == {"line_code"}


def test_names_and_defaults():
    spec = PredictiveSpec(**GOOD)
    assert (spec.name, spec.solution, spec.primary_metric) == ("finishing.cells", "finishing/cells", "roc_auc")
    with pytest.raises(ValidationError):
        spec.slug = "other"
    assert PredictiveSpec(**(GOOD | {"task": "quantile"})).primary_metric == "pinball"


@pytest.mark.parametrize(
    ("task", "quantiles", "promised"),
    [("quantile", [0.05, 0.5, 0.95], 0.9), ("quantile", [0.1, 0.4, 0.7], 0.6), ("regression", [0.1, 0.4, 0.7], 0.8)],
)
def test_quantiles_promise_what_lies_between_them_and_a_regression_its_interval(task, quantiles, promised):
    spec = PredictiveSpec(**(GOOD | {"task": task, "quantiles": quantiles, "interval_coverage": 0.8}))
    assert spec.nominal_coverage == promised
