"""The bolts of a die as answers: which is moved, within which limits, and what is said where none is."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from models.context import ModelContext
from models.optimizer.profile import answer
from models.optimizer.profile_spec import ProfileControl
from models.optimizer.spec import OptimizerSpec
from models.scoring.rule import RuleAnswers
from orchestration.catalogue import find
from orchestration.environment import default_site
from pipelines.control_plan.errors import CellworksError
from pipelines.control_plan.site import Site, load_site
from pipelines.lake.home import Home

LIPS, ROLLS = 24, 40
BEGIN = datetime(2026, 9, 1)  # noqa: DTZ001 - UTC as everywhere in the lake
NOW = BEGIN + timedelta(minutes=45 * ROLLS)


@pytest.fixture(scope="module")
def site() -> Site:
    return load_site(default_site())


def rolls(thick: int = 8, bolt_um: float = 0.0, **columns: Any) -> pa.Table:
    """Rolls of one cathode coater that are one per cent too heavy about a lip."""
    rng = np.random.default_rng(5)
    roll, lip = np.repeat(np.arange(ROLLS), LIPS), np.tile(np.arange(1, LIPS + 1), ROLLS)
    weight = 210 + 0.5 * np.exp(-0.5 * ((lip - thick) / 1.5) ** 2) + 0.03 * rng.normal(size=len(lip))
    ended = np.datetime64(BEGIN, "us") + (roll + 1) * np.timedelta64(45 * 60 * 10**6, "us")
    table = {
        "die_bolt_id": [f"coater_c1-lip-{no:02d}" for no in lip],
        "mother_roll_id": [f"CR{no:06d}" for no in roll],
        "lip_no": lip,
        "electrode_code": np.full(len(lip), "cathode"),
        "coater_id": np.full(len(lip), "coater_c1"),
        "ended_at": ended,
        "lip_weight_g_m2": weight,
        "die_bolt_um": np.full(len(lip), bolt_um),
        "known_at": ended,
    }
    return pa.table(table | columns)


def asked(site: Site, folder: Path, table: pa.Table, now: datetime = NOW) -> RuleAnswers | None:
    pq.write_table(table, folder / "web.parquet")
    spec = find("electrode/cross_web_profile")
    assert isinstance(spec, OptimizerSpec)
    assert isinstance(spec.optimizer, ProfileControl)
    own = spec.model_copy(update={"table": str(folder / "web.parquet"), "domain": None})
    return answer(own, spec.optimizer, ModelContext(Home(folder), site), now)


def test_the_bolt_at_the_heavy_lip_is_closed_and_each_bolt_has_its_answer(site: Site, tmp_path: Path) -> None:
    found = asked(site, tmp_path, rolls())
    assert found is not None
    assert all(passed for passed, _ in found.checks.values()), found.checks
    names = found.keys["die_bolt_id"].to_pylist()
    assert names == [f"coater_c1-lip-{no:02d}" for no in range(1, LIPS + 1)]
    assert set(found.keys["mother_roll_id"].to_pylist()) == {f"CR{ROLLS - 1:06d}"}
    move = found.further["move"].to_pydict()
    moved = [no for no in range(LIPS) if move["proposed_value"][no] != move["current_value"][no]]
    assert [no + 1 for no in moved if abs(no + 1 - 8) <= 1] == [no + 1 for no in moved] != []
    assert all(-6 <= move["proposed_value"][no] < 0 and move["priority"][no] > 0 for no in moved)
    assert [no for no, flag in enumerate(found.answers["is_flagged"]) if flag] == moved
    assert found.answers["class"].count("stay") == LIPS - len(moved)
    assert set(move["characteristic_code"]) == {"cathode_die_bolt_um"}
    spread, place, bolt = json.loads(found.answers["reasons"][7])
    assert (spread["feature"], place["value"], bolt["feature"]) == ("lip_weight_g_m2", 8, "cathode_die_bolt_um")
    assert spread["value"] > 0.05


def test_a_roll_that_lacks_a_lip_is_not_looked_at(site: Site, tmp_path: Path) -> None:
    table = rolls()
    found = asked(site, tmp_path, table.slice(0, len(table) - 1))
    assert found is not None
    assert set(found.keys["mother_roll_id"].to_pylist()) == {f"CR{ROLLS - 2:06d}"}


@pytest.mark.parametrize(
    ("table", "later_h", "reason", "check"),
    [
        (rolls(), 49, "stale", "fresh"),
        (rolls(bolt_um=9.0), 0, "setpoint_unknown", "gain_known"),
        (rolls().slice(0, 5 * LIPS), 0, "too_few", "fresh"),
    ],
)
def test_where_it_cannot_be_relied_on_nothing_is_moved(
    site: Site, tmp_path: Path, table: pa.Table, later_h: int, reason: str, check: str
) -> None:
    found = asked(site, tmp_path, table, NOW + timedelta(hours=later_h))
    assert found is not None
    assert set(found.answers["class"]) == {reason}
    assert not any(found.answers["is_flagged"])
    assert not found.checks[check][0]


def test_what_was_not_known_is_not_read(site: Site, tmp_path: Path) -> None:
    late = NOW + timedelta(seconds=1)
    assert asked(site, tmp_path, rolls(known_at=np.full(ROLLS * LIPS, np.datetime64(late, "us")))) is None


def test_a_column_that_is_not_there_is_named(site: Site, tmp_path: Path) -> None:
    with pytest.raises(CellworksError, match="lip_no"):
        asked(site, tmp_path, rolls().drop_columns(["lip_no"]))
