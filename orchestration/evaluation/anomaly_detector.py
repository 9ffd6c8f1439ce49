"""Does a detector of anomalies tell sooner? Faults are put into the home's plant, as for process monitors."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast

import numpy as np
import pyarrow as pa

from models.anomaly_detector.detector import alarms_of, score_from
from models.anomaly_detector.evaluate import shewhart
from models.anomaly_detector.ground import Rows, read_rows
from models.anomaly_detector.runtime import Scorer
from models.anomaly_detector.spec import AnomalySpec
from models.context import ModelContext
from models.solution import SolutionSpec
from orchestration.evaluation.faults import HORIZON_DAYS, Fault, Plant
from orchestration.evaluation.ground import Ground
from orchestration.evaluation.monitors import TOP, Told, delay_h, judged, limit_for
from orchestration.evaluation.outcome import Evaluation
from pipelines.lake.home import Home

_DAY_S = 86_400.0


def evaluate(spec: SolutionSpec, ground: Ground) -> Evaluation:
    """Put faults in, one at a time, and measure how soon the solution's version tells of each."""
    own, found = cast("AnomalySpec", spec), ground.evidence(spec)
    if found.version is None or found.trained_until is None:
        return Evaluation("not_run", found.cannot_tell)
    home, scorer = cast("Home", ground.home), Scorer.load(found.version.bundle)
    snapshot, watched = found.version.tags.get("lake_snapshot"), _columns(scorer)
    ctx = ModelContext(home=home, site=ground.site, snapshot=int(snapshot) if snapshot else None)
    rows = read_rows(own, ctx, columns=watched)
    plant = Plant.of(ground.site, home)
    keys = {name: np.asarray(column.to_pylist(), dtype=object) for name, column in rows.keys(own).items()}
    members = plant.members(own.table, keys)
    if members is None:
        return Evaluation("not_run", f"no fault can be put into {own.table} yet: its rows are not known to be of cells")
    judges = _Judges(own, rows, scorer, found.trained_until)
    first_day = plant.day_after(np.datetime64(found.trained_until))
    if first_day + HORIZON_DAYS > plant.days:
        short = first_day + HORIZON_DAYS - plant.days
        return Evaluation("not_run", f"too few days after it was trained: simulate {short} more and run a night")
    told = []
    faults = plant.faults(watched, first_day, own.seed)
    for number, fault in enumerate(faults):
        ground.tell(f"fault in {fault.code}", number, len(faults))
        moved = plant.moved(fault, members, watched, len(rows.time_s))
        if moved:
            told.append(judges.told(moved, fault))
    return judged(told, judges.alarms_a_day, judges.days)


def _columns(scorer: Scorer) -> list[str]:
    return list(dict.fromkeys(part["variable"] for part in scorer.bundle["parts"]))


class _Judges:
    """Later rows as they were; the chart's limit is the least at which it alarms no more often than the detector."""

    def __init__(self, spec: AnomalySpec, rows: Rows, scorer: Scorer, trained_until: datetime) -> None:
        self.spec, self.rows, self.scorer = spec, rows, scorer
        self.cut_s = trained_until.replace(tzinfo=UTC).timestamp()
        self.chart = shewhart(spec, rows.part(rows.time_s < self.cut_s))
        values = self.values(rows)
        alarms = self._count(values["own"] > 1.0)
        self.limits = {"own": 1.0, "chart": limit_for(alarms, values["chart"], self._count)}
        self.without = self._over(values)
        self.days = float(rows.time_s.max() - self.cut_s) / _DAY_S
        self.alarms_a_day = alarms / self.days

    def values(self, rows: Rows) -> dict[str, Any]:
        """Scores over their limits by the detector and by the chart; before the later part NaN."""
        return {
            name: score_from(each, rows, self.cut_s) for name, each in (("own", self.scorer), ("chart", self.chart))
        }

    def _over(self, values: dict[str, Any]) -> dict[str, Any]:
        return {name: each > self.limits[name] for name, each in values.items()}

    def _count(self, over: Any) -> int:
        begins, _ = alarms_of(self.spec, self.rows, np.where(over, 2.0, 0.0))
        return int(begins.sum())

    def told(self, moved: dict[str, Any], fault: Fault) -> Told:
        """What becomes of a fault that moves columns of the rows."""
        table = self.rows.table
        for name, by in moved.items():
            table = table.set_column(
                table.schema.get_field_index(name), name, pa.array(table.column(name).to_numpy() + by)
            )
        touched = np.any([by != 0 for by in moved.values()], axis=0)
        since_h = np.where(touched, (self.rows.time_s - self.rows.time_s[touched].min()) / 3600.0, np.nan)
        over = self._over(self.values(replace(self.rows, table=table)))
        own, rows = delay_h(over["own"], self.without["own"], since_h)
        chart, _ = delay_h(over["chart"], self.without["chart"], since_h)
        return Told(fault, own, chart, bool(len(rows)) and self._names(table, int(rows[0]), fault.code))

    def _names(self, table: pa.Table, row: int, code: str) -> bool:
        """Whether a characteristic is among the first reasons of a row; a series and streams need the past for them."""
        has_past = self.spec.series is not None or self.spec.streams is not None
        past = table.slice(0, row + 1) if has_past else table.slice(row, 1)
        strength = np.nan_to_num(self.scorer.parts(past)[-1], nan=-1.0)
        variables = [part["variable"] for part in self.scorer.bundle["parts"]]
        ranked = list(dict.fromkeys(variables[place] for place in np.argsort(-strength)))
        return code in ranked[:TOP]
