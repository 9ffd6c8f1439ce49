"""A series as nights bring it: learnt anew every night on all rows before, judged by events that nobody learns from.

NAB's convention: the first 15 % of a series, of its first 5,000 rows at most, is only learnt from; an event is told by
a row inside its window whose score is over the limit. An alarm that is raised outside of every window is a false one.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import Field

from orchestration.benchmarks import pictures, spec
from orchestration.benchmarks.ground import Ground
from orchestration.benchmarks.outcome import Array, Figure, Outcome, Picture, Table

_WEEK_S = 7 * 86_400.0


class Protocol(spec.Protocol):
    """Attributes of the kind.

    Attributes:
        column: says which series a row belongs to; each is learnt and judged by itself. judged: the series, the one
        that counts first. event: column that names the event whose window a row lies in; empty outside. learnt_share:
        share of the rows, the first, that is only learnt from. learnt_rows: rows that this is at most. neighbours:
        other settings that are shown beside, as the YAML of the family writes them; nothing is chosen by them.
    """

    families: ClassVar[tuple[spec.Family, ...]] = ("AnomalyDetector",)
    kind: Literal["nightly"]
    column: str
    judged: list[str] = Field(min_length=1)
    event: str
    learnt_share: float = Field(gt=0.0, lt=1.0)
    learnt_rows: int = Field(ge=1)
    neighbours: list[dict[str, Any]] = Field(default_factory=list)

    def told(self) -> str:
        """The protocol in words."""
        first = f"the first {100 * self.learnt_share:g} % ({self.learnt_rows} rows at most) are only learnt from"
        return f"{first}; then learnt anew every 24 h on all rows before, labels unseen; {', '.join(self.judged)}"

    def run(self, benchmark: spec.Benchmark, table: pa.Table, ground: Ground) -> Outcome:
        """Walk through each series, and through the settings beside."""
        places = [self._write(table, name, ground.folder) for name in self.judged[: 1 if ground.is_quick else None]]
        settings = [{}, *([] if ground.is_quick else self.neighbours)]
        jobs = [
            Job(benchmark, place, changes, self.learnt_share, self.learnt_rows)
            for place in places
            for changes in settings
        ]
        walked = ground.each(walk, jobs)
        own = walked[:: len(settings)]
        figures: dict[str, Figure] = {}
        for series, each in zip(places, own, strict=True):
            figures |= {f"{name} {series.name}": figure for name, figure in each.figures.items()}
        return Outcome(
            figures,
            seconds=own[0].seconds,
            cpu_s=own[0].cpu_s,
            chosen=tuple(each.chosen for each in own),
            tables=tuple(_tables([place.name for place in places], settings, walked)),
            pictures=tuple(
                Picture(place.name, f"{place.name}: score over its limit, windows shaded", partial(_draw, each))
                for place, each in zip(places, own, strict=True)
            ),
        )

    def _write(self, table: pa.Table, name: str, folder: Path) -> Place:
        """A series and its events as a user's own two files."""
        mine = table.filter(pc.equal(table.column(self.column), name))
        labelled = mine.filter(pc.is_valid(mine.column(self.event)))
        ends = labelled.group_by(self.event).aggregate([("moment", "min"), ("moment", "max")])
        rows, events = folder / f"{name}.parquet", folder / f"{name}_events.parquet"
        pq.write_table(mine.drop_columns([self.event, self.column]), rows)
        pq.write_table(ends.rename_columns({"moment_min": "begins_at", "moment_max": "ends_at"}), events)
        return Place(name, rows, events)


@dataclass(frozen=True)
class Place:
    """Files of a series."""

    name: str
    rows: Path
    events: Path


@dataclass(frozen=True)
class Job:
    """One walk through a series for one process."""

    benchmark: spec.Benchmark
    place: Place
    changes: dict[str, Any]
    learnt_share: float
    learnt_rows: int


@dataclass(frozen=True)
class Walked:
    """What a walk brought.

    Attributes:
        figures: windows found, false alarms a week, largest share of a window that had passed.
        shares: per window the share that had passed; None: not found.
        early_h: per window the hours by which an open alarm had been raised before it; None otherwise.
        false_alarms: their number.
        time_s, value: each row's second and score over its limit.
        windows: second at which each window begins and ends.
        chosen: settings, for people.
        seconds, cpu_s: of the whole walk.
    """

    figures: dict[str, Figure]
    shares: list[float | None]
    early_h: list[float | None]
    false_alarms: int
    time_s: Array
    value: Array
    windows: list[tuple[float, float]]
    chosen: str
    seconds: float
    cpu_s: float


def walk(job: Job) -> Walked:
    """Every night of a series through the family, as a user's own table."""
    from models.anomaly_detector.detector import walk_forward
    from models.anomaly_detector.evaluate import false_alarms, rate_interval, tell
    from models.anomaly_detector.ground import read_events, read_rows
    from models.anomaly_detector.spec import AnomalySpec
    from models.context import ModelContext
    from pipelines.lake.home import Home

    content = merged(job.benchmark.solution, job.changes)
    events = {"table": str(job.place.events), "begins_at": "begins_at", "ends_at": "ends_at"}
    own = {"stage": "benchmark", "slug": job.benchmark.data, "table": str(job.place.rows), "events": events}
    asked = AnomalySpec.model_validate({**content, **own})
    ctx = ModelContext(home=Home(job.place.rows.parent))
    begun, cpu = time.perf_counter(), time.process_time()
    rows = read_rows(asked, ctx)
    learnt = min(int(job.learnt_share * len(rows.time_s)), job.learnt_rows)
    value = np.full(len(rows.time_s), np.nan)
    learnt_s = float(rows.time_s[learnt])
    for score, _ in walk_forward(asked, rows, learnt_s):
        value = np.fmax(value, score)
    # Nights on which nothing could be said yet are no nights without a false alarm; an event in them is one not told.
    begin_s = float(rows.time_s[np.isfinite(value)][0])
    happened = [event for event in read_events(asked, ctx) if event.begin_s >= learnt_s]
    told = [tell(asked, rows, value, event) for event in happened]
    false = false_alarms(asked, rows, value, happened)
    outside_s = (
        float(rows.time_s[-1])
        - begin_s
        - sum(max(0.0, event.end_s - max(event.begin_s, begin_s)) for event in happened)
    )
    rate = rate_interval(false, outside_s / _WEEK_S)
    shares = [each.share for each in told]
    figures = {
        "windows_found": Figure((float(sum(share is not None for share in shares)),)),
        "false_alarms_per_week": Figure((rate.value,), rate.low, rate.high, "alarms counted"),
        "found_after_share": Figure((max(1.0 if share is None else share for share in shares),)),
    }
    return Walked(
        figures,
        shares,
        [each.early_h for each in told],
        false,
        rows.time_s,
        value,
        [(event.begin_s, event.end_s) for event in happened],
        f"{asked.alarms.per_week:g} alarm a week, hold-off {asked.alarms.hold_off_h:g} h, first score after "
        f"{(begin_s - float(rows.time_s[0])) / 86_400:.1f} days",
        time.perf_counter() - begun,
        time.process_time() - cpu,
    )


def merged(content: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Settings with some of them changed, part by part."""
    out = dict(content)
    for name, change in changes.items():
        out[name] = {**out.get(name, {}), **change} if isinstance(change, dict) else change
    return out


def _tables(series: Sequence[str], settings: Sequence[dict[str, Any]], walked: Sequence[Walked]) -> list[Table]:
    """Each window of each series, and what the settings beside would have brought."""
    own = walked[:: len(settings)]
    windows = [
        (name, place + 1, None if share is None else round(share, 3), None if early is None else round(early, 1))
        for name, each in zip(series, own, strict=True)
        for place, (share, early) in enumerate(zip(each.shares, each.early_h, strict=True))
    ]
    found = [
        Table(
            "Windows",
            ("series", "window", "share of the window that had passed", "hours that an open alarm was early"),
            tuple(windows),
            "An alarm that was raised before its window and is still open in it counts among the false ones too.",
        )
    ]
    if len(settings) > 1:
        each_way = [(name, changes) for name in series for changes in settings]
        rows = [
            (name, _said(changes), sum(share is not None for share in each.shares), len(each.shares), each.false_alarms,
             round(each.figures["false_alarms_per_week"].value, 2), round(each.figures["found_after_share"].value, 3))
            for (name, changes), each in zip(each_way, walked, strict=True)
        ]  # fmt: skip
        heads = ("series", "setting", "windows found", "of", "false alarms", "a week", "latest share")
        note = "What neighbours of the settings would have brought: how much of the result is theirs."
        found.append(Table("Sensitivity", heads, tuple(rows), note))
    return found


def _said(changes: dict[str, Any]) -> str:
    if not changes:
        return "defaults"
    return ", ".join(f"{name} {value}" for part in changes.values() for name, value in part.items())


def _draw(walked: Walked, file: Path) -> None:
    """Score over its limit through time, the windows shaded."""
    drawn, (axis,) = pictures.figure(width=7.5, height=2.8)
    moment = walked.time_s.astype("datetime64[s]")
    axis.semilogy(moment, np.maximum(walked.value, 0.05), color=pictures.OURS, linewidth=0.6)
    axis.axhline(1.0, color=pictures.FLOOR, linewidth=1, linestyle="--")
    for begin, end in walked.windows:
        axis.axvspan(np.datetime64(int(begin), "s"), np.datetime64(int(end), "s"), color=pictures.GREY, alpha=0.5)
    axis.set_ylabel("score / limit")
    axis.tick_params(axis="x", labelsize=7)
    pictures.save(drawn, file)
