"""What people ask for: status, the night's summary, actions, quarantine."""

from __future__ import annotations

import getpass
from typing import Any, Literal

from orchestration.catalogue import discover
from orchestration.cli import console
from orchestration.cli.reasons import in_words, units_of
from orchestration.plant import Plant, plant

KPIS = ("oee", "premium_ratio", "conversion_cost_usd_per_kwh", "throughput_kwh_per_day")


def status(here: Plant) -> dict[str, Any]:
    """Every solution and the key figures of the newest complete day."""
    from orchestration.night_store import nights

    known = nights(here.home)
    solutions = []
    for spec in discover():
        row = known.get(spec.solution, {})
        solutions.append(
            {
                "stage": spec.stage,
                "slug": spec.slug,
                "family": "PredictiveModel",
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
            }
        )
    return {"solutions": solutions, "kpis": kpis(here)}


def kpis(here: Plant) -> dict[str, float | None]:
    """Key figures: OEE of the newest day, the others of the newest day whose cells are all graded."""
    from pipelines.lake.connection import reader
    from pipelines.lake.publish import published_snapshot

    snapshot = published_snapshot(here.home, "kpi")
    if snapshot is None:
        return dict.fromkeys(KPIS)
    figures: dict[str, float | None] = {}
    with reader(here.home, snapshot=snapshot) as con:
        for name in KPIS:
            row = con.execute(
                f"SELECT {name} FROM lake.marts.kpi_day WHERE {name} IS NOT NULL ORDER BY production_day DESC LIMIT 1"
            ).fetchone()
            figures[name] = None if row is None else float(row[0])
    return figures


def show_status(*, as_json: bool) -> None:
    """Print the status."""
    found = status(plant())
    if as_json:
        print(console.as_json(found))
        return
    _show_solutions(found["solutions"])
    _show_kpis(found["kpis"])


def night_summary(here: Plant, result: dict[str, Any]) -> dict[str, Any]:
    """What the night did: rows, checks, solutions, key figures."""
    from pipelines.lake.connection import reader

    with reader(here.home) as con:
        row = con.execute(
            "SELECT sum(rows_in), sum(rows_quarantined), count(*) FILTER (status = 'quarantined') "
            "FROM lake.ops.ingest_offset WHERE batch_id = (SELECT max(batch_id) FROM lake.ops.ingest_offset)"
        ).fetchone() or (0, 0, 0)
    rows = {"in": int(row[0] or 0), "quarantined": int(row[1] or 0), "files_quarantined": int(row[2] or 0)}
    return {**result, "rows_of_last_batch": rows, **status(here)}


def show_night(here: Plant, summary: dict[str, Any]) -> None:
    """Print the night for a person."""
    rows = summary["rows_of_last_batch"]
    failed = summary["checks_failed"]
    print(f"\nNight {'done' if summary['success'] else 'FAILED'} (run {summary['run_id'][:8]})")
    print(f"  rows in {rows['in']:,}, quarantined {rows['quarantined']:,} (and {rows['files_quarantined']} files)")
    print(f"  checks passed {summary['checks_passed']}, failed {len(failed)}")
    for name in failed[:20]:
        print(f"    ✗ {name}")
    for step, why in summary["failed_steps"].items():
        print(f"    ✗ step {step}: {why[:600]}")
    for model in summary["models"]:
        print(f"  {_learnt(model)}")
    _show_solutions(summary["solutions"])
    _show_kpis(summary["kpis"])
    print(f"\nOpen Dagster and MLflow:  CELLWORKS_HOME={here.home.root} .venv/bin/cellworks ui")
    print(f"See it again:             CELLWORKS_HOME={here.home.root} .venv/bin/cellworks status")


def _learnt(model: dict[str, Any]) -> str:
    """One line on tonight's version: what it reaches beside the baseline, and what became of it."""
    scored = console.with_interval({part: model[f"metric_{part}"] for part in ("value", "low", "high")})
    return (
        f"{model['solution']} version {model['version']} ({model['library']}, {model['trials']} trials): "
        f"{model['metric_name']} {scored} beside {model['baseline_name']} {console.figure(model['baseline_value'])}; "
        f"{model['promotion']}"
    )


def _show_solutions(solutions: list[dict[str, Any]]) -> None:
    console.table(
        "Solutions",
        ["solution", "state", "champion", "metric", "value [95 %]", "baseline", "scored", "actions", "reason"],
        [
            [
                f"{each['stage']}/{each['slug']}",
                each["state"],
                each["champion_version"] or "none",
                each["metric"]["name"],
                console.with_interval(each["metric"]),
                f"{each['baseline']['name'] or ''} {console.figure(each['baseline']['value'])}",
                f"{each['rows_scored']:,}",
                each["actions"],
                each["reason"],
            ]
            for each in solutions
        ],
    )


def _show_kpis(figures: dict[str, float | None]) -> None:
    print("Key figures: " + ", ".join(f"{name} {console.figure(value)}" for name, value in figures.items()))


def show_actions(limit: int, *, as_json: bool) -> None:
    """Print the newest actions."""
    from pipelines.actions.decide import list_actions
    from pipelines.lake.connection import reader

    here = plant()
    with reader(here.home) as con:
        found = list_actions(con, limit=limit)
    units = units_of(here.site)
    for each in found:
        each["reason"] = in_words(each["reason"], units)
    if as_json:
        print(console.as_json(found))
        return
    columns = ["action_id", "solution", "kind", "target_id", "priority", "state", "proposed_at", "reason"]
    rows = [[each[name] if name != "action_id" else each[name][:8] for name in columns] for each in found]
    console.table("Actions", columns, rows)


def decide_action(action_id: str, decision: Literal["approved", "rejected"], who: str | None, why: str) -> None:
    """Approve or reject an action."""
    from pipelines.actions.decide import decide
    from pipelines.lake.connection import writer

    here = plant()
    with writer(here.home, why=f"{decision} an action") as con:
        decide(con, here.site, action_id, decision, who=who or getpass.getuser(), why=why)
    print(f"{action_id} {decision}")


def show_quarantine(limit: int, *, as_json: bool) -> None:
    """Print what was set aside, newest first."""
    from pipelines.lake.connection import reader

    columns = ["quarantine_id", "feed", "source", "position", "reason", "raw_text", "status"]
    with reader(plant().home) as con:
        rows = con.execute(
            f"SELECT {', '.join(columns)} FROM lake.ops.quarantine ORDER BY quarantine_id DESC LIMIT ?", [limit]
        ).fetchall()
    if as_json:
        print(console.as_json([dict(zip(columns, row, strict=True)) for row in rows]))
        return
    console.table("Quarantine", columns, rows)
