"""assembly/stack_alignment on a small plant, from the line's records to the alarm: the stacker that drifts is found."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest

from orchestration.catalogue import find
from orchestration.night import solve
from orchestration.plant import Plant, plant
from orchestration.solving import MODEL, PARTS, Outcome
from pipelines.curation import instance
from pipelines.curation.run import LAYER_DOMAINS, curate
from pipelines.ingest.run import ingest
from pipelines.lake.connection import reader, writer
from pipelines.lake.publish import publish
from pipelines.lake.schemas import bootstrap
from pipelines.twin.simulate import simulate

pytestmark = [pytest.mark.slow, pytest.mark.long]  # a plant of fifteen days with its marts takes minutes
DRIFTS, DAYS = "stacker_2", 15


@dataclass
class Night:
    """The night of the solution on the plant, and what it left in the lake."""

    here: Plant
    outcome: Outcome
    answers: pd.DataFrame
    actions: pd.DataFrame
    mart: pd.DataFrame
    records: pd.DataFrame


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory, parsed: Callable[[Path], Path]) -> Iterator[Night]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CELLWORKS_HOME", str(parsed(tmp_path_factory.mktemp("plant") / "home")))
        here = plant()
        bootstrap(here.home.ensure(), here.site)
        simulate(here.site, here.home, days=DAYS, seed=11, scenario="stacker_drift", scale=0.06, telemetry_days=0)
        for feed in here.home.drop_dir.iterdir():
            if feed.name != "mes__stacking":  # what the other solutions read
                shutil.rmtree(feed)
        ingest(here.home, here.site)
        needed = [("staging", domain) for domain in LAYER_DOMAINS["staging"]]  # marts read what other domains staged
        for layer, domain in (*needed, ("marts", "material_inspection"), ("marts", "process")):
            assert curate(here.home, here.site, layer=layer, domain=domain).is_passed
        with writer(here.home, why="test") as con:
            publish(con, "process", "test")
        found = solve(
            find("assembly/stack_alignment"), here, parts=PARTS, domain="process", full_search=False, actor="test"
        )
        with reader(here.home) as con:
            answers, actions, mart, records = (
                con.execute(f"SELECT * FROM lake.{table}").df()
                for table in ("solutions.stack_alignment", "ops.action", "marts.stacker_hour", "raw.mes__stacking")
            )
        yield Night(here, found, answers, actions, mart, records)
        instance.close(here.home)


def test_the_mart_has_the_means_of_each_stackers_hours(night: Night) -> None:
    records = night.records.assign(hour_at=night.records["event_at"].dt.floor("h"))
    means = records.groupby(["machine_id", "hour_at"])[["overhang_mm", "sheet_offset_mm", "stack_mass_g"]].mean()
    both = night.mart.set_index(["machine_id", "hour_at"]).join(means, rsuffix="_here")
    assert len(both) == len(night.mart) == len(means)
    for name in means.columns:
        pd.testing.assert_series_equal(
            both[name], both[f"{name}_here"], check_names=False, check_dtype=False, rtol=1e-4
        )
    assert night.mart["cell_count"].sum() == len(records)


def test_the_night_goes_through_and_the_first_version_is_champion(night: Night) -> None:
    assert night.outcome.failure == "", night.outcome.trace
    checks = {check.name: check for check in night.outcome.checks}
    assert checks["false_alarms"].passed, checks["false_alarms"].description
    assert checks["live_skill"].passed
    assert night.outcome.results[MODEL]["version"] == "1"
    assert len(night.answers) == len(night.mart)


def test_the_drifting_stacker_is_found_and_its_overhang_named(night: Night) -> None:
    last = night.answers[night.answers["event_at"] > night.answers["event_at"].max() - pd.Timedelta(hours=18)]
    shares = last.groupby("machine_id")["is_flagged"].mean()
    assert shares[DRIFTS] > 0.7
    assert shares.drop(DRIFTS).max() < 0.1
    told = last[(last["machine_id"] == DRIFTS) & last["is_flagged"]]["reasons"].map(json.loads)
    assert told.map(lambda reasons: reasons[0]["feature"] == "overhang_mm").mean() > 0.8
    assert (told.map(len) == 3).all()


def test_the_other_stackers_stay_within_the_budget(night: Night) -> None:
    after = night.answers["event_at"].min() + pd.Timedelta(days=7)
    good = night.answers[(night.answers["machine_id"] != DRIFTS) & (night.answers["event_at"] > after)]
    assert good["is_flagged"].mean() < 0.03


def test_the_drifting_stacker_is_alarmed_once_and_no_other_one(night: Night) -> None:
    assert night.actions["kind"].tolist() == ["alarm"]
    assert night.actions["target_id"].tolist() == [DRIFTS]
    assert "overhang_mm" in night.actions["reason"].iloc[0]
