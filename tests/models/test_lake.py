"""Over the lake: published snapshots only, pinned as long as a version names them, rebuilt to the same rows."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pytest

import models.train
from models.context import ModelContext
from models.gates.judge import judge
from models.prepare import prepare
from models.registry.aliases import promote
from models.registry.client import experiment_id, open_client
from models.registry.versions import verdict_files
from models.scoring.runtime import matrix
from models.scoring.score import score
from models.train import train
from pipelines.control_plan.errors import CellworksError
from pipelines.control_plan.site import load_site
from pipelines.lake.connection import current_snapshot, reader, writer
from pipelines.lake.maintenance import expire, pin
from pipelines.lake.publish import publish
from pipelines.lake.schemas import bootstrap

pytestmark = pytest.mark.slow

TINY = {"trials": 1, "refit_trials": 1, "max_rounds": 40, "libraries": ["lightgbm"]}


@pytest.fixture(scope="module")
def site():
    """The demo site, promoting without shadow."""
    return load_site(Path("infra/sites/demo").resolve()).model_copy(update={"shadow_nights": 0})


@pytest.fixture
def lake(home, site, cells):
    """A lake whose marts hold features and labels in two tables, published."""
    bootstrap(home, site)
    _write(home, cells(1200))
    return home


def _write(home, columns, run="night-1"):
    """Replace the marts and publish them."""
    labels = ("capacity_ah", "is_premium", "grade_code", "label_known_at")
    features = pa.table({name: values for name, values in columns.items() if name not in labels})
    known = pa.table({name: columns[name] for name in ("cell_id", *labels)})
    with writer(home, why="test marts") as con:
        con.register("__features", features)
        con.register("__labels", known)
        con.execute("CREATE OR REPLACE TABLE lake.marts.cell_at_formation AS FROM __features")
        con.execute("CREATE OR REPLACE TABLE lake.marts.cell_label AS FROM __labels")
        return publish(con, "test", run)


def _spec(solution, **changes):
    target = {"column": "is_premium", "positive": False, "table": "marts.cell_label", "known_at": "label_known_at"}
    target["delay_h"] = 20
    content = {"domain": "test", "target": target, "search": TINY, "features": {"exclude": ["shift_code"]}}
    content["acts_at"] = "formation"
    return solution("marts.cell_at_formation", "binary", **(content | changes))


def _context(home, site, **changes):
    with reader(home) as con:
        row = con.execute("SELECT max(snapshot_id) FROM lake.ops.published").fetchone()
    return ModelContext(home, site=site, snapshot=row[0], n_threads=1, inputs_passed=True, **changes)


def test_a_published_and_checked_snapshot_makes_a_champion(lake, site, solution, later):
    spec, ctx = _spec(solution), _context(lake, site, as_of=later)
    trained = train(spec, ctx)
    verdict = judge(spec, ctx, trained)
    assert verdict.passed, verdict.sentence
    assert promote(spec, ctx, verdict).alias == "champion"
    assert score(spec, ctx).rows == 1200
    with reader(lake) as con:
        row = con.execute("SELECT DISTINCT lake_snapshot, model_version FROM lake.solutions.cells").fetchall()
        pins = con.execute("SELECT snapshot_id, holder FROM lake.ops.pin").fetchall()
    assert row == [(ctx.snapshot, 1)]
    assert pins == [(ctx.snapshot, trained.run_id)]


def test_an_unpublished_snapshot_is_refused_by_the_gate(lake, site, solution):
    with writer(lake, why="test") as con:
        con.execute("CREATE TABLE lake.marts.something AS SELECT 1 AS a")
        loose = current_snapshot(con)
    spec, ctx = _spec(solution), replace(_context(lake, site), snapshot=loose)
    verdict = judge(spec, ctx, train(spec, ctx))
    assert "never published" in verdict.gate("inputs").sentence
    other = _spec(solution, domain="energy")
    elsewhere = _context(lake, site)
    verdict = judge(other, elsewhere, train(other, elsewhere))
    assert not verdict.gate("inputs").passed, "published for another domain"


def test_expiry_keeps_the_training_set_and_it_is_rebuilt_to_the_same_rows(lake, site, solution, cells):
    spec, ctx = _spec(solution), _context(lake, site)
    trained = train(spec, ctx)
    before = matrix(trained.prepared.frame.table, trained.fitted.scorer.bundle["features"]).tobytes()
    for night in range(3):
        _write(lake, cells(1200, seed=night + 5), f"night-{night + 2}")
    with writer(lake, why="test expiry") as con:
        gone = expire(con, keep=timedelta(0))
    assert gone
    assert ctx.snapshot not in gone
    again = prepare(spec, ctx)
    assert matrix(again.frame.table, trained.fitted.scorer.bundle["features"]).tobytes() == before
    assert again.labels.y.tobytes() == trained.prepared.labels.y.tobytes()


def test_both_verdicts_of_a_version_are_kept_and_their_holdouts_held(lake, site, solution, cells):
    spec, early = _spec(solution), _context(lake, site)
    trained = train(spec, early)
    first = judge(spec, early, trained)
    _write(lake, cells(1300, days=33), "night-2")
    late = _context(lake, site)
    second = judge(spec, late, trained.version)
    cutoffs = {trained.version: trained.prepared.split.cut.as_json()}
    told = [verdict.as_json() for verdict in (first, second)]
    assert [(each["snapshot"], each["cutoffs"]) for each in told] == [(ctx.snapshot, cutoffs) for ctx in (early, late)]
    client = open_client(late)
    files = verdict_files(client, trained.run_id, trained.version)
    assert files == ["verdict_1.json", "verdict_1_2.json"]
    kept = [json.loads(Path(client.download_artifacts(trained.run_id, name)).read_text()) for name in files]
    assert [(each["snapshot"], each["rows"]) for each in kept] == [
        (each.snapshot, each.rows) for each in (first, second)
    ]
    with reader(lake) as con:
        pins = con.execute("SELECT snapshot_id, holder FROM lake.ops.pin ORDER BY 1").fetchall()
    assert pins == [(ctx.snapshot, trained.run_id) for ctx in (early, late)]


def test_an_open_run_holds_what_it_reads(lake, site, solution, cells, monkeypatch):
    spec, ctx = _spec(solution), _context(lake, site)
    fit = models.train.fit

    def meanwhile(*arguments):
        _write(lake, cells(1200, seed=9), "night-2")
        with writer(lake, why="test expiry") as con:
            assert ctx.snapshot not in expire(con, keep=timedelta(0))
        return fit(*arguments)

    monkeypatch.setattr(models.train, "fit", meanwhile)
    tags = train(spec, ctx).registered.tags
    assert (tags["lake_snapshot"], tags["plan_hash"]) == (str(ctx.snapshot), site.plan.hash)
    assert prepare(spec, ctx).frame.n_rows == 1200


def test_a_killed_run_lets_go_of_its_snapshot_when_the_next_one_begins(lake, site, solution):
    spec, ctx = _spec(solution), _context(lake, site)
    client = open_client(ctx)
    lost = client.create_run(experiment_id(client, ctx, spec.solution)).info.run_id
    with writer(lake, why="test") as con:
        pin(con, ctx.snapshot, "training set", lost)
    trained = train(spec, ctx)
    with reader(lake) as con:
        assert con.execute("SELECT holder FROM lake.ops.pin").fetchall() == [(trained.run_id,)]


def test_a_training_that_fails_at_the_end_pins_nothing(lake, site, solution, monkeypatch):
    spec, ctx = _spec(solution), _context(lake, site)

    def broken(*_arguments, **_named):
        raise CellworksError("MLflow went away")

    monkeypatch.setattr("models.train.register_candidate", broken)
    with pytest.raises(CellworksError, match="went away"):
        train(spec, ctx)
    with reader(lake) as con:
        assert con.execute("SELECT count(*) FROM lake.ops.pin").fetchone() == (0,)


def test_a_snapshot_that_is_gone_is_told(lake, site, solution):
    spec = _spec(solution)
    with pytest.raises(CellworksError, match="snapshot 999 can't be pinned"):
        train(spec, replace(_context(lake, site), snapshot=999))


def test_a_correction_changes_what_is_read_only_at_its_own_snapshot(lake, site, solution, cells):
    spec, old = _spec(solution), _context(lake, site)
    first = prepare(spec, old).frame.table.column("a_mm")
    columns = cells(1200)
    columns["a_mm"] = columns["a_mm"] + 1
    _write(lake, columns, "night-2")
    assert prepare(spec, old).frame.table.column("a_mm").equals(first)
    assert not prepare(spec, _context(lake, site)).frame.table.column("a_mm").equals(first)
