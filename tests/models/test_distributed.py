"""Training sets that outgrow a machine: each worker reads its part, and the model is as good as one machine's."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from models.distributed.fit import Wanted, fit_on_workers
from models.distributed.rows import for_workers, read_part
from models.estimators.base import Fold, loss
from models.estimators.choose import estimator
from models.evaluation.evaluate import evaluate
from models.fitting import fit
from models.ground import ground_of
from models.prepare import prepare
from models.scoring.runtime import matrix
from pipelines.control_plan.errors import CellworksError
from tests.models.test_these import damage

TOLERANCE = 0.03
"""Relative difference of the hold-out's loss. Workers bin their own part of the rows, so trees are not the same."""
PARAMS = {
    "lightgbm": {"learning_rate": 0.1, "num_leaves": 15, "min_data_in_leaf": 20, "lambda_l2": 1.0},
    "xgboost": {"learning_rate": 0.1, "max_depth": 4, "min_child_weight": 2.0, "reg_lambda": 1.0},
}
needs_dask = pytest.mark.filterwarnings("ignore::UserWarning")  # of the libraries' own, about ports and names


def _changed(columns: dict[str, Any]) -> dict[str, Any]:
    """The first half of the rows has other labels: who learnt one half alone would be far off."""
    first = np.arange(len(columns["cell_id"])) < len(columns["cell_id"]) // 2
    return columns | {
        "capacity_ah": columns["capacity_ah"] + 30.0 * first,
        "is_premium": columns["is_premium"] & ~first,
        "grade_code": np.where(first, "C", columns["grade_code"]),
    }


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """Address of a scheduler with two workers of one thread."""
    distributed = pytest.importorskip("distributed", reason="the extra `dask` is not installed")
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as local:
        yield local.scheduler_address


@pytest.fixture
def on_cluster(cluster: str) -> Iterator[None]:
    """Dask's own configuration names the cluster."""
    import dask

    with dask.config.set({"scheduler-address": cluster}):
        yield


@pytest.mark.slow
@needs_dask
@pytest.mark.parametrize("library", ["lightgbm", "xgboost"])
@pytest.mark.parametrize("task", ["regression", "binary", "multiclass"])
@pytest.mark.usefixtures("on_cluster")
def test_two_workers_learn_what_one_machine_learns(ctx, table_file, cells, solution, library, task):
    file = table_file(_changed(cells(3000)))
    search = {"max_rows": 1000, "libraries": [library]}
    parted = solution(file, task, train_on="dask", search=search)
    whole = prepare(solution(file, task, search=search), ctx)
    mine = prepare(parted, ctx)
    assert len(mine.training_set.y) == len(whole.split.development) > len(mine.split.development) == 1000
    ground = ground_of(parted, ctx, mine)
    wanted = Wanted(library, ground.problem, PARAMS[library], 40)
    (booster,) = fit_on_workers(parted, ctx, ground.features, mine.training_set, [wanted])
    x, rows = matrix(whole.frame.table, ground.features), whole.split
    fold = Fold(x[rows.development], whole.labels.y[rows.development])
    own = estimator(library).fit(ground.problem, fold, PARAMS[library], 40).booster
    losses = [
        loss(task, whole.labels.y[rows.holdout], np.asarray(each.predict(x[rows.holdout]))) for each in (booster, own)
    ]
    assert losses[0] == pytest.approx(losses[1], rel=TOLERANCE)


@pytest.mark.slow
@needs_dask
@pytest.mark.usefixtures("on_cluster")
def test_a_solution_on_dask_is_as_good_as_on_a_machine(ctx, table_file, cells, solution):
    file = table_file(cells(3000))
    search = {"trials": 3, "max_rounds": 40, "early_stopping_rounds": 10, "max_rows": 1000}
    figures = {}
    for where in ("machine", "dask"):
        spec = solution(file, "regression", train_on=where, search=search)
        prepared = prepare(spec, ctx)
        fitted = fit(spec, ctx, prepared)
        figures[where] = evaluate(spec, prepared, fitted.scorer, prepared.split.holdout)
        assert fitted.scorer.bundle["record"]["rows"] == prepared.n_learnt > 2000
    assert figures["dask"].metrics["rmse"].value == pytest.approx(
        figures["machine"].metrics["rmse"].value, rel=TOLERANCE
    )
    assert len(figures["dask"].outputs.rows) == len(figures["machine"].outputs.rows)


def test_a_worker_opens_nothing_of_another_ones_part(ctx, table_file, cells, solution):
    pytest.importorskip("dask", reason="the extra `dask` is not installed")
    file = table_file(cells(4000))
    pq.write_table(pq.read_table(file), file, row_group_size=500)
    spec = solution(file, "regression", train_on="dask")
    prepared = prepare(spec, ctx)
    features = ground_of(spec, ctx, prepared).features
    parts = prepared.training_set.parts(2)
    expected = read_part(spec, for_workers(ctx), features, parts[1])
    damage(file, column="a_mm", row_group=1)
    x, y = read_part(spec, for_workers(ctx), features, parts[1])
    np.testing.assert_array_equal(x, expected[0])
    np.testing.assert_array_equal(y, prepared.training_set.y[len(parts[0].y) :])
    with pytest.raises(CellworksError):
        read_part(spec, for_workers(ctx), features, parts[0])


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_parts_are_all_rows_once_and_in_order(ctx, table_file, cells, solution, count):
    pytest.importorskip("dask", reason="the extra `dask` is not installed")
    whole = prepare(solution(table_file(cells(900)), train_on="dask"), ctx).training_set
    parts = whole.parts(count)
    assert [key for part in parts for key in part.keys.column(0).to_pylist()] == whole.keys.column(0).to_pylist()
    sizes = [len(part.y) for part in parts]
    assert max(sizes) - min(sizes) <= 1
    assert len(parts) == count


def test_without_the_extra_it_is_said_how_to_install_it(ctx, table_file, cells, solution, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(CellworksError, match="packages that are not installed") as refused:
        prepare(solution(table_file(cells(400)), train_on="dask"), ctx)
    assert "`make setup` in the clone brings the extra `dask`" in str(refused.value)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"sequence": {"entity": ["lot_id"], "order": "started_at"}}, "windows of a sequence"),
        ({"search": {"libraries": ["linear"]}}, "lightgbm or xgboost"),
        ({"task": "quantile"}, "no task quantile"),
    ],
)
def test_what_cannot_be_learnt_by_parts_is_refused(solution, changes, told):
    with pytest.raises(ValidationError, match=told):
        solution("cells.parquet", **({"train_on": "dask", "task": "regression"} | changes))
