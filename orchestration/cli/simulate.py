"""`cellworks simulate`: the only command that knows the twin."""

from __future__ import annotations

from orchestration.cli.console import bars
from orchestration.plant import plant


def run_twin(days: int, seed: int | None, scenario: str, telemetry_days: int, scale: float) -> None:
    """Simulate the next days and say what was delivered."""
    from pipelines.twin.simulate import simulate

    here = plant()
    with bars() as shown:
        shown.begin(f"simulating {days} production day{'s' if days > 1 else ''}")
        report = simulate(
            here.site,
            here.home,
            days=days,
            seed=seed,
            scenario=scenario,
            telemetry_days=telemetry_days,
            scale=scale,
            progress=shown.advance,
        )
    print(
        f"{report.first_day} to {report.last_day}: {report.cells_started:,} cells begun, "
        f"{report.rows:,} rows in {report.files} files under {here.home.drop_dir}"
    )


def next_days(first_days: int, scale: float) -> None:
    """The demo's days: a month at first, then one at a time of the plant that there is."""
    from pipelines.twin import state

    here = plant()
    known = state.peek(here.home)
    if known is None:
        run_twin(first_days, None, "baseline", 7, scale)
    else:
        run_twin(1, None, known.scenario, 1, known.scale)
