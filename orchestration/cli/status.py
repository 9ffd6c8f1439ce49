"""`status`: every solution with its champion and score, and the plant's key figures."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple

from models.families import family_of
from orchestration.catalogue import discover
from orchestration.cli import console
from orchestration.plant import Plant, plant

KPIS = {
    "oee": ("OEE", 100.0, "%"),
    "premium_ratio": ("premium ratio", 100.0, "%"),
    "conversion_cost_usd_per_kwh": ("conversion cost", 1.0, "US$/kWh"),
    "throughput_kwh_per_day": ("throughput", 1.0, "kWh/day"),
}
"""Key figures: how people call them, the factor to the unit they read, and that unit."""
_ALARMS, _NEWS = 5, timedelta(days=7)
_DEAREST = 10
_SIZES = ("peak_memory_bytes", "read_bytes", "written_bytes")


class Kpi(NamedTuple):
    """A key figure and the production day it belongs to; None while the plant has none."""

    value: float | None
    day: date | None


def status(here: Plant) -> dict[str, Any]:
    """Every solution and the key figures of the newest complete day, in the form that `status --json` promises."""
    from orchestration.night_store import COST_COLUMNS, nights

    known = nights(here.home)
    solutions = []
    for spec in discover():
        row = known.get(spec.solution, {})
        solutions.append(
            {
                "stage": spec.stage,
                "slug": spec.slug,
                "family": family_of(spec).component,
                "state": row.get("state", "never run"),
                "reason": row.get("reason", ""),
                "champion_version": row.get("champion_version"),
                "metric": {
                    "name": row.get("metric_name") or spec.primary_metric,
                    **{part: row.get(f"metric_{part}") for part in ("value", "low", "high")},
                },
                "baseline": {"name": row.get("baseline_name"), "value": row.get("baseline_value")},
                **{name: row.get(name) for name in ("last_trained", "last_scored")},
                **{name: row.get(name, 0) for name in ("rows_scored", "actions", "checks_passed", "checks_failed")},
                "cost": {name: row.get(name) for name in COST_COLUMNS},
            }
        )
    return {"solutions": solutions, "kpis": {name: kpi.value for name, kpi in kpis(here).items()}}


def kpis(here: Plant) -> dict[str, Kpi]:
    """Key figures, each of the newest day that has it: quality is known only when that day's cells are graded."""
    from pipelines.lake.connection import reader
    from pipelines.lake.publish import published_snapshot

    snapshot = published_snapshot(here.home, "kpi")
    if snapshot is None:
        return dict.fromkeys(KPIS, Kpi(None, None))
    figures = {}
    with reader(here.home, snapshot=snapshot) as con:
        for name in KPIS:
            row = con.execute(
                f"SELECT {name}, production_day FROM lake.marts.kpi_day WHERE {name} IS NOT NULL "
                "ORDER BY production_day DESC LIMIT 1"
            ).fetchone()
            figures[name] = Kpi(None, None) if row is None else Kpi(float(row[0]), row[1])
    return figures


def show_status(*, as_json: bool) -> None:
    """Print the status."""
    here = plant()
    found = status(here)
    if as_json:
        console.tell(found, "", as_json=True)
        return
    show_solutions(found["solutions"])
    _show_costs(found["solutions"])
    _show_alarms(here)
    show_kpis(here)


def _show_alarms(here: Plant) -> None:
    """Print the newest alarms of the last week: versions that may not act, runs that failed."""
    from models.registry.alarms import newest_alarms

    since = datetime.now(UTC).replace(tzinfo=None) - _NEWS
    found = [each for each in newest_alarms(here.home, limit=_ALARMS) if each["raised_at"] > since]
    if found:
        console.heading("Alarms")
    for each in found:
        console.line(f"{each['raised_at']:%Y-%m-%d %H:%M} UTC  {each['solution']}: {each['alarm']}", 2, "yellow")


def show_solutions(solutions: list[dict[str, Any]]) -> None:
    """Print a line per solution, and below what keeps any of them from acting."""
    console.heading("Solutions")
    rows = [
        [
            f"{each['stage']}/{each['slug']}",
            each["state"],
            each["champion_version"] or "none",
            "-"
            if each["metric"]["value"] is None
            else f"{each['metric']['name']} {console.with_interval(each['metric'])}",
            f"{console.figure(each['baseline']['value'])} {each['baseline']['name'] or ''}".strip(),
            f"{each['rows_scored']:,}",
            f"{each['actions']:,}",
        ]
        for each in solutions
    ]
    columns = ("solution", "state", "champion", "score [95 %]", "naive", "scored", "actions")
    console.table(columns, rows)
    for each in solutions:
        if each["reason"]:
            console.lines(f"{each['stage']}/{each['slug']}: {each['reason']}")


def _show_costs(solutions: list[dict[str, Any]]) -> None:
    """Print what the newest nights of the dearest solutions cost, of those whose cost was measured, and of all."""
    known = [each for each in solutions if each["cost"]["cpu_s"] is not None]
    if not known:
        return
    known.sort(key=lambda each: -each["cost"]["cpu_s"])
    console.heading("Cost of the newest nights")
    rows = [
        [
            f"{each['stage']}/{each['slug']}",
            f"{each['cost']['cpu_s']:,.1f} s",
            *(console.size(each["cost"][name]) for name in _SIZES),
        ]
        for each in known[:_DEAREST]
    ]
    cpu_s, read, written = (
        sum(each["cost"][name] or 0 for each in known) for name in ("cpu_s", "read_bytes", "written_bytes")
    )
    total = [f"all {len(known)}", f"{cpu_s:,.1f} s", "", console.size(read), console.size(written)]
    console.table(("solution", "CPU", "most memory", "read", "written"), [*rows, total])


def show_kpis(here: Plant) -> None:
    """Print the key figures in the units that people read, each with its day."""
    console.heading("Key figures")
    rows = []
    for name, (value, day) in kpis(here).items():
        title, factor, unit = KPIS[name]
        if value is None:
            rows.append([title, "-", "not known yet"])
        else:
            shown = value * factor
            rows.append([title, f"{shown:,.0f} {unit}" if shown >= 1000 else f"{shown:.3g} {unit}", f"of {day}"])
    console.listing(rows)
