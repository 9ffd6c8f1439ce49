"""`charts`: every control point of the line on a chart, and the few causes of what they say."""

from __future__ import annotations

import time
from typing import Any

from orchestration.cli import console
from orchestration.plant import plant
from pipelines.lake.connection import reader, threads
from pipelines.lake.publish import published_snapshot
from pipelines.line_charts.alarms import moment
from pipelines.line_charts.line import LineCharts, chart_line

_SHOWN = 15
COLUMNS = ("began (UTC)", "look first at", "machine", "signals", "charts", "machines")


def show_charts(days: int, reference_days: int, budget_share: float, *, as_json: bool) -> None:
    """Chart the newest days of the historian and print the newest causes.

    Raises:
        CellworksError: there is no telemetry, or too little.
    """
    here = plant()
    begun = time.perf_counter()
    with console.bars() as shown, reader(here.home, snapshot=published_snapshot(here.home, "equipment")) as con:
        found = chart_line(
            con,
            here.site,
            days=days,
            reference_days=reference_days,
            budget_share=budget_share,
            n_threads=threads(),
            tell=shown.advance,
        )
    told = document(found) | {"seconds_in_all": time.perf_counter() - begun}
    if as_json:
        console.tell(told, "", as_json=True)
        return
    console.line(
        f"{told['points']:,} control points, {told['values']:,} minutes; {told['left_out']:,} points left out, which "
        "never change or were seen too little"
    )
    console.line(
        f"watched {told['days']:.1f} days: {sum(told['minute_signals'].values()):,} signals by every rule on minutes;"
        f" {told['alarms']:,} alarms of {told['causes']:,} causes, "
        f"{told['causes_per_operator_and_10_min']:.2f} per operator in ten minutes"
    )
    console.table(COLUMNS, [_row(each) for each in told["newest"]])


def document(found: LineCharts) -> dict[str, Any]:
    """What was read, learnt and found; the newest causes, each with the point to look at first."""
    tracks = found.phase.tracks
    return {
        "points": len(found.minutes.points),
        "values": int(found.minutes.values.size),
        "left_out": len(found.phase.left_out),
        "charted_as": {
            f"{'what memory left over of ' if remembers else ''}means of {size} min": sum(
                len(track.place) for track in tracks if (track.size_min, track.remembers) == (size, remembers)
            )
            for size, remembers in sorted({(track.size_min, track.remembers) for track in tracks})
        },
        "limit_sigmas": float(found.limits.limit_sigmas),
        "ewma_sigmas": float(found.limits.ewma_sigmas),
        "days": found.days,
        "minute_signals": dict(found.minute_signals),
        "alarms": len(found.alarms),
        "causes": len(found.groups),
        "causes_per_operator_and_10_min": found.groups_per_operator_and_window,
        "seconds": dict(found.seconds),
        "newest": [
            {
                "began_at": moment(found.begins_at, each.first.at - each.first.size_min),
                "control_point_id": each.point.id,
                "machine_id": each.point.machine_id,
                "rules": list(each.first.rules),
                "alarms": each.alarms,
                "machines": list(each.machines),
            }
            for each in found.groups[: -_SHOWN - 1 : -1]
        ],
    }


def _row(each: dict[str, Any]) -> list[str]:
    name = each["control_point_id"].removeprefix(each["machine_id"]).strip(".")
    rules = ", ".join(each["rules"])
    return [
        f"{each['began_at']:%m-%d %H:%M}",
        name,
        each["machine_id"],
        rules,
        str(each["alarms"]),
        str(len(each["machines"])),
    ]
