"""`cellworks simulate`: the only command that knows the twin."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from orchestration.cli.console import bars, tell
from orchestration.plant import claim, plant


def run_twin(
    days: int,
    seed: int | None,
    scenario: str | None,
    telemetry_days: int,
    scale: float | None,
    decisions: Path | None,
    *,
    as_json: bool,
) -> None:
    """Simulate the next days and say what was delivered."""
    found = simulated(days, seed, scenario, telemetry_days, scale, decisions)
    tell(found, in_words(found), as_json=as_json)


def next_days(first_days: int, scale: float) -> dict[str, Any]:
    """The demo's days: a month at first, the rest of it where that was interrupted, then one at a time."""
    from pipelines.twin import state

    home = plant().home
    known = state.peek(home)
    if known is None:
        return simulated(first_days, None, None, 7, scale)
    if known.next_day < first_days and not home.has_lake:  # no night has begun on what there is
        return simulated(first_days - known.next_day, None, None, 7, None)
    return simulated(1, None, None, 1, None)


def simulated(
    days: int,
    seed: int | None,
    scenario: str | None,
    telemetry_days: int,
    scale: float | None,
    decisions: Path | None = None,
) -> dict[str, Any]:
    """Simulate; what is None is the plant's own when it goes on, else seed 1, the baseline and the whole line.

    Returns:
        days, first_day, last_day, files, rows, cells_started, seed, scenario, scale and drop_dir.
    """
    from pipelines.twin import state
    from pipelines.twin.decisions import read_decisions
    from pipelines.twin.simulate import simulate

    here = plant()
    decided = read_decisions(decisions, here.site) if decisions is not None else ()
    claim(here)
    known = state.peek(here.home)
    with bars() as shown:
        shown.begin(f"simulating {days} production day{'s' if days > 1 else ''}")
        report = simulate(
            here.site,
            here.home,
            days=days,
            seed=seed,
            scenario=scenario or (known.scenario if known else "baseline"),
            telemetry_days=telemetry_days,
            scale=scale or (known.scale if known else 1.0),
            decisions=decided,
            progress=shown.advance,
        )
    now = state.peek(here.home)
    plant_of = {name: getattr(now, name) for name in ("seed", "scenario", "scale")}
    return {**asdict(report), **plant_of, "drop_dir": here.home.drop_dir}


def in_words(found: dict[str, Any]) -> str:
    """One sentence on what was simulated."""
    return (
        f"{found['first_day']} to {found['last_day']}: {found['cells_started']:,} cells begun, "
        f"{found['rows']:,} rows in {found['files']} files under {found['drop_dir']}"
    )
