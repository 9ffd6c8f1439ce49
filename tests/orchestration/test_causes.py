"""`actions causes`: two hundred proposals of a night are told as the few causes that they have in common."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from orchestration.plant import plant
from pipelines.actions.propose import Origin, propose
from pipelines.lake.connection import writer

pytestmark = pytest.mark.slow

NIGHT = datetime(2026, 10, 1, 22)  # noqa: DTZ001 - the plant's times are naive UTC


def reason(*parts: tuple[str, float | str | None, float]) -> str:
    return json.dumps([{"feature": name, "value": value, "contribution": moved} for name, value, moved in parts])


def proposed(at: datetime, rows: dict[str, str], solution: str = "yield_root_cause", beyond: int = 0) -> None:
    """Route targets for these reasons, through the guard rails."""
    table = pa.table(
        {"target_id": list(rows), "priority": [0.9 - 0.01 * n for n in range(len(rows))], "reason": list(rows.values())}
    )
    here = plant()
    with writer(here.home, why="test") as con:
        report = propose(con, here.site, Origin(solution, "route", at, "1"), table)
    assert (report.proposed, report.grouped) == (len(rows) - beyond, beyond)


@pytest.fixture
def told(here: Callable[..., Any]) -> Callable[..., Any]:
    """The command's output after two nights of proposals; the earlier one is no news any more."""
    assert here("init").returncode == 0
    proposed(NIGHT - timedelta(days=1), {"C0": reason(("overhang_mm", 0.4, 2.0))})
    welds = {
        f"C{n}": reason(("weld_resistance_uohm", 30.0 + n, 1.5), ("fill_mass_g", 3700.0, -2.5)) for n in range(1, 5)
    }
    others = {
        "C8": reason(("weld_resistance_uohm", None, 0.1), ("particle_count", 1.5, 0.7)),
        "C9": reason(("lfp_supplier_code", "S2", 0.4)),
        "C10": reason(("lfp_supplier_code", "S1", 0.4)),
    }
    proposed(NIGHT, welds | others)
    proposed(NIGHT, {"C11": "a rule said so"}, "incoming_release")
    return here


def test_the_newest_night_is_counted_by_what_speaks_most_for_its_actions(told: Callable[..., Any]) -> None:
    causes = json.loads(told("actions", "causes", "--json").stdout)
    found = [(each["solution"], each["cause"], each["count"], each["low"], each["high"]) for each in causes]
    assert found == [
        ("incoming_release", "", 1, None, None),
        ("yield_root_cause", "weld_resistance_uohm", 4, 31.0, 34.0),
        ("yield_root_cause", "lfp_supplier_code", 2, None, None),
        ("yield_root_cause", "particle_count", 1, 1.5, 1.5),
    ]
    assert causes[1]["targets"] == ["C1", "C2", "C3"]
    assert causes[2]["values"] == ["S1", "S2"]


def test_what_is_beyond_the_limits_is_counted_as_that(here: Callable[..., Any]) -> None:
    assert here("init").returncode == 0
    limit = plant().site.actions["route"].max_per_hour // 4  # the rest is for other solutions
    rows = {f"C{n}": reason(("weld_resistance_uohm", 30.0, 1.5)) for n in range(limit + 50)}
    proposed(NIGHT, rows, beyond=51)
    told = here("actions", "causes").stdout
    assert f"{limit - 1}  weld resistance 30 uohm: C0, C1, C2" in told
    assert "51  more beyond the site's limits, told as one action" in told


def test_a_person_reads_causes_with_their_units(told: Callable[..., Any]) -> None:
    lines = [line.strip() for line in told("actions", "causes").stdout.splitlines()]
    assert "4  weld resistance 31 to 34 uohm: C1, C2, C3" in lines
    assert "2  lfp supplier code S1 or S2: C9, C10" in lines
    assert "1  of no single cause: C11" in lines
