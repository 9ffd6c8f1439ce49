"""What cannot be learnt is refused with the reason, and nothing half-done is left behind."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from models.gates.judge import judge
from models.registry.client import experiment_id, open_client
from models.registry.run import training_run
from models.scoring.score import score
from models.train import PREDICTIVE, train
from pipelines.control_plan.errors import CellworksError

pytestmark = pytest.mark.slow


def _refused(spec, ctx):
    with pytest.raises(CellworksError) as caught:
        train(spec, ctx)
    return str(caught.value)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda c: c.pop("is_premium"), "the target 'is_premium' is missing"),
        (lambda c: c.update(is_premium=np.ones(800, dtype=bool)), "one class only: true"),
        (lambda c: c.update(is_premium=pa.nulls(800, pa.bool_())), "0 of 800 rows have one"),
        (lambda c: c.update(is_premium=pa.array([True, False] * 20 + [None] * 760)), "40 of 800 rows have one"),
        (lambda c: c.update(is_premium=np.arange(800) % 3), "3 classes: 0, 1, 2"),
        (lambda c: c.update(cell_id=np.repeat(c["cell_id"][:400], 2)), "do not name one row"),
        (lambda c: c.pop("label_known_at"), "target.known_at 'label_known_at' is missing"),
        (lambda c: c.pop("lot_id"), "split.group 'lot_id' is missing"),
    ],
)
def test_a_table_that_cannot_be_learnt_is_refused(change, says, ctx, table_file, cells, solution):
    columns = cells(800)
    change(columns)
    message = _refused(solution(table_file(columns), "binary"), ctx)
    assert says in message


def test_a_time_that_only_the_labels_have_is_refused_before_a_version_exists(ctx, table_file, cells, solution):
    columns = cells(800)
    labels = {name: columns[name] for name in ("cell_id", "started_at", "label_known_at", "is_premium")}
    features = {name: column for name, column in columns.items() if name == "cell_id" or name not in labels}
    target = {"column": "is_premium", "table": table_file(labels, "labels.parquet"), "positive": False}
    target |= {"known_at": "label_known_at", "delay_h": 20}
    message = _refused(solution(table_file(features), "binary", target=target), ctx)
    assert "split.time 'started_at' is missing" in message
    assert "a label table has no row for what is scored" in message


def test_a_failed_run_is_marked_with_its_reason(ctx, table_file, cells, solution):
    columns = cells(800) | {"is_premium": np.ones(800, dtype=bool)}
    _refused(solution(table_file(columns), "binary"), ctx)
    client = open_client(ctx)
    experiment = client.get_experiment_by_name("finishing/cells")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FAILED"
    assert "one class only" in run.data.tags["failure"]


def test_a_secret_in_the_reason_is_not_kept(ctx, table_file, cells, solution, monkeypatch):
    monkeypatch.setenv("PGPASSWORD", "planted")
    client, spec = open_client(ctx), solution(table_file(cells(20)), "binary")
    with pytest.raises(ValueError, match="planted"), training_run(client, spec, ctx) as run:
        raise ValueError("refused planted at postgresql://me:other@host, {'secret': 'third'}")
    reason = client.get_run(run.run_id).data.tags["failure"]
    assert reason == "refused [redacted] at postgresql://me:[redacted]@host, {'secret': '[redacted]'}"


def test_an_interval_that_one_lot_cannot_give_is_left_out_of_what_is_logged(ctx, table_file, cells, solution):
    columns = cells(800)
    columns["lot_id"] = np.where(np.arange(800) < 600, columns["lot_id"], "L999")
    trained = train(solution(table_file(columns), "regression", search={"trials": 1, "libraries": ["linear"]}), ctx)
    assert np.isnan(trained.metrics["rmse"].low)
    logged = open_client(ctx).get_run(trained.run_id).data.metrics
    assert logged["rmse"] > 0
    assert "rmse_low" not in logged
    assert not any(np.isnan(value) for value in logged.values())


@pytest.mark.parametrize("value", ["many", "unknown"])
def test_numbers_that_are_text_are_refused_for_regression(value, ctx, table_file, cells, solution):
    columns = cells(800) | {"capacity_ah": np.asarray([value] * 800)}
    assert "numbers for task regression" in _refused(solution(table_file(columns), "regression"), ctx)


def test_infinite_and_missing_numbers_are_survived(ctx, table_file, cells, solution):
    columns = cells(800)
    columns["a_mm"][::50] = np.inf
    columns["b_um"][::40] = np.nan
    columns["capacity_ah"][::30] = -np.inf
    trained = train(solution(table_file(columns), "regression"), ctx)
    assert np.isfinite(trained.metrics["rmse"].value)


def test_one_missing_time_leaves_out_its_row_and_keeps_the_baselines_of_time(ctx, table_file, cells, solution):
    columns = cells(800)
    columns["started_at"][100] = np.datetime64("NaT")
    target = {"column": "is_premium", "positive": False}
    trained = train(solution(table_file(columns), "binary", target=target), ctx)
    assert trained.rows_development + trained.rows_holdout == 799
    assert set(trained.baselines) == {"prior", "lot_mean", "last_value"}
    assert "1 of 800 labelled rows are left out: 'started_at' is missing" in trained.notes


def test_mlflow_that_does_not_answer_leaves_the_lake_alone(ctx, table_file, cells, solution, tmp_path):
    (tmp_path / "file").write_text("in the way")
    away = replace(ctx, mlflow_uri=f"sqlite:///{tmp_path}/file/mlflow.sqlite")
    spec = solution(table_file(cells(800)), "binary")
    assert "MLflow does not answer" in _refused(spec, away)
    nobody = replace(ctx, mlflow_uri="http://127.0.0.1:9")
    assert "MLflow does not answer" in _refused(spec, nobody)
    with pytest.raises(CellworksError, match="does not answer"):
        score(spec, nobody)
    assert not ctx.home.catalogue.exists()
    assert train(spec, ctx).version == "1", "the next run recovers"


def test_a_run_that_ended_without_a_word_is_closed_by_the_next(ctx, table_file, cells, solution):
    client = open_client(ctx)
    experiment = experiment_id(client, ctx, "finishing/cells")
    lost = client.create_run(experiment).info.run_id  # as a killed process, or one that lost MLflow, leaves it
    train(solution(table_file(cells(800)), "binary", search={"trials": 1, "max_rounds": 10}), ctx)
    run = client.get_run(lost)
    assert run.info.status == "KILLED"
    assert "without a word" in run.data.tags["failure"]


@pytest.mark.long
def test_mlflow_that_goes_away_in_the_middle_ends_the_run_and_the_next_one_recovers(
    ctx, table_file, cells, solution, tmp_path
):
    spec = solution(table_file(cells(800)), "binary", search={"trials": 1, "max_rounds": 10})
    server, away = _serve(ctx, tmp_path)

    def last_words(*arguments):
        _end(server)
        return PREDICTIVE.fit(*arguments)

    with pytest.raises(CellworksError, match="MLflow failed during training"):
        train(spec, away, replace(PREDICTIVE, fit=last_words))
    assert not ctx.home.catalogue.exists()
    server, back = _serve(ctx, tmp_path)
    try:
        trained = train(spec, back)
        client = open_client(back)
        experiment = client.get_experiment_by_name(spec.solution).experiment_id
        ended = {run.info.run_id: run.info.status for run in client.search_runs([experiment])}
    finally:
        _end(server)
    assert trained.version == "1"
    assert ended.pop(trained.run_id) == "FINISHED"
    assert list(ended.values()) == ["KILLED"]


def _serve(ctx, folder):
    """A real MLflow server over the instance's file, and the context that speaks to it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    arguments = ["server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    store = ["--backend-store-uri", ctx.home.stores.mlflow_uri, "--artifacts-destination", str(folder / "artifacts")]
    store += ["--default-artifact-root", "mlflow-artifacts:/"]  # else the folder it is started from
    log = (folder / "server.log").open("ab")
    command = [sys.executable, "-m", "mlflow", *arguments, *store]
    server = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    away = replace(ctx, mlflow_uri=f"http://127.0.0.1:{port}")
    for _ in range(300):
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{away.mlflow_uri}/health", timeout=1):
            return server, away
        assert server.poll() is None, (folder / "server.log").read_text()[-2000:]
        time.sleep(0.2)
    raise AssertionError("the MLflow server did not come up")


def _end(server):
    """Kill the server with the workers it has started."""
    os.killpg(server.pid, signal.SIGKILL)
    server.wait()


def test_a_missing_version_and_file_are_told(ctx, solution):
    assert "the table file is not there" in _refused(solution("nowhere.csv"), ctx)
    with pytest.raises(CellworksError, match="no version 9"):
        judge(solution("nowhere.csv"), ctx, "9")


def test_an_unreadable_file_is_told(ctx, solution, tmp_path):
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 but not really")
    assert "cannot be read" in _refused(solution(str(tmp_path / "broken.parquet")), ctx)
