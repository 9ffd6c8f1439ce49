"""Runs that turn faulty at a known row: a monitor of a good run, on another good run and on each faulty one."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from models.process_monitor.evaluation import alarms_of, rate, spans
from models.process_monitor.runtime import Array
from orchestration.benchmarks import pictures, spec
from orchestration.benchmarks.families.monitor import Watched, watch
from orchestration.benchmarks.ground import Ground
from orchestration.benchmarks.outcome import Figure, Outcome, Picture, Table

_STATISTICS = ("t2", "spe", "combined", "shewhart")
_MATCHED_RATE = 0.01
_MODELS = {"static": {"lags": 0}, "dynamic": {}}


class FaultRun(spec.Part):
    """A run with its fault.

    Attributes:
        what: the fault in words, as published.
        variables: measured variables of what the description names.
        at_noise: whether no linear method finds it.
    """

    what: str
    variables: list[str] = Field(min_length=1)
    at_noise: bool = False


class Protocol(spec.Protocol):
    """Attributes of the kind.

    Attributes:
        healthy: run that only tells the false-alarm rate.
        begins_after: rows of a faulty run before its fault.
        lasting: consecutive alarms whose first counts as found, for the delay.
        named_rows: first alarms of a fault whose contributions are added up.
        faults: by run.
    """

    kind: Literal["fault_runs"]
    families: ClassVar[tuple[spec.Family, ...]] = ("ProcessMonitor",)
    healthy: str
    begins_after: int = Field(ge=0)
    lasting: int = Field(default=6, ge=1)
    named_rows: int = Field(default=20, ge=1)
    faults: dict[str, FaultRun]

    def told(self) -> str:
        """The protocol in words."""
        return (
            f"limits from the reference run alone; false alarms on {self.healthy}, which sets nothing; share of the "
            f"rows after the fault (row {self.begins_after}) in alarm, mean over {len(self.faults)} faults"
        )

    def run(self, benchmark: spec.Benchmark, table: pa.Table, ground: Ground) -> Outcome:
        """Learn statically and with lags, and measure each run; nothing is drawn, so a quick run does the same."""
        watched = {}
        for place, (name, pca) in enumerate(_MODELS.items()):
            ground.tell(f"{benchmark.data}: {name}", place, len(_MODELS))
            given = {**benchmark.solution.get("pca", {}), **pca}
            watched[name] = watch(benchmark, table, ground, pca=given)
        runs = {name: _Runs(self, each) for name, each in watched.items()}
        acting = watched["dynamic"].spec.statistic
        named = {run: _named(self, watched["dynamic"], runs["dynamic"], run) for run in self.faults}
        return Outcome(
            figures=_figures(self, watched, runs, acting, named),
            seconds=float(np.mean([each.seconds for each in watched.values()])),
            cpu_s=float(np.mean([each.cpu_s for each in watched.values()])),
            chosen=tuple(_chosen(name, each) for name, each in watched.items()),
            tables=(_side_by_side(self, runs), _faults(self, runs, acting, named)),
            pictures=(Picture("faults", "share of each fault's rows in alarm", partial(_draw, self, runs, acting)),),
        )


class _Runs:
    """Alarms of a monitor, run by run."""

    def __init__(self, protocol: Protocol, watched: Watched) -> None:
        self.ratios = watched.fitted.scorer.statistics(watched.seen.table)
        self.alarms = alarms_of(watched.fitted.scorer, watched.seen)
        self.run = np.asarray(watched.seen.table.column(watched.spec.group or "").to_pylist(), dtype=object)
        self.row = watched.seen.time
        good = self.run == protocol.healthy
        faulty = np.isin(self.run, list(protocol.faults)) & (self.row > protocol.begins_after)
        # A row without enough rows before it has no alarm and is not counted.
        has_value = ~np.isnan(self.ratios["spe"])
        self.good, self.faulty = good & has_value, faulty & has_value
        self.span = spans(watched.seen, watched.spec.group, self.good, self.faulty)

    def rows_of(self, run: str) -> Array:
        """Faulty rows of a run, in their order."""
        rows = np.flatnonzero(self.faulty & (self.run == run))
        return rows[np.argsort(self.row[rows])]

    def detection(self, protocol: Protocol, statistic: str) -> Array:
        """Share of each fault's rows in alarm."""
        return np.asarray([self.alarms[statistic][self.rows_of(run)].mean() for run in protocol.faults])

    def matched(self, protocol: Protocol, statistic: str) -> Array:
        """The same where the healthy run alarms at one rate, whatever the limits are: to compare models, not to act."""
        limit = np.quantile(self.ratios[statistic][self.good], 1 - _MATCHED_RATE)
        return np.asarray([(self.ratios[statistic][self.rows_of(run)] > limit).mean() for run in protocol.faults])


def _chosen(name: str, watched: Watched) -> str:
    choices = [each.choice for each in watched.fitted.learnt.values()]
    return f"{name}: " + "; ".join(f"{each.lags} lags, {each.components} components" for each in choices)


def _figures(
    protocol: Protocol, watched: dict[str, Watched], runs: dict[str, _Runs], acting: str, named: dict[str, list[str]]
) -> dict[str, Figure]:
    from scipy import stats

    figures: dict[str, Figure] = {}
    for name, each in runs.items():
        alarm = rate(each.alarms[acting], each.good, each.span, watched[name].spec.seed)
        figures[f"false_alarm_rate {name}"] = Figure((alarm.value,), alarm.low, alarm.high, f"{alarm.groups} stretches")
        shares = each.detection(protocol, acting)
        half = float(stats.t.ppf(0.975, len(shares) - 1) * shares.std(ddof=1) / np.sqrt(len(shares)))
        mean = float(shares.mean())
        figures[f"detection_rate {name}"] = Figure((mean,), mean - half, mean + half, f"{len(shares)} faults")
    for statistic in ("t2", "spe"):
        above = runs["dynamic"].matched(protocol, statistic) > runs["static"].matched(protocol, statistic)
        figures[f"faults_dynamic_above_static {statistic}"] = Figure((float(above.sum()),))
    found = [bool(set(variables) & set(protocol.faults[run].variables)) for run, variables in named.items()]
    figures["faults_named"] = Figure((float(sum(found)),))
    return figures


def _named(protocol: Protocol, watched: Watched, runs: _Runs, run: str) -> list[str]:
    """The variables that the first alarms of a fault name, strongest first."""
    rows = runs.rows_of(run)
    acting = rows[runs.alarms["acting"][rows]][: protocol.named_rows]
    if not len(acting):
        return []
    shares = watched.fitted.scorer.contributions(watched.seen.table, acting).mean(axis=0)
    names = watched.fitted.scorer.bundle["features"]
    return [names[place] for place in np.argsort(-shares)[: watched.spec.top_k]]


def _delay(protocol: Protocol, runs: _Runs, run: str, statistic: str) -> int | None:
    """Rows from the first faulty one to the first of `lasting` consecutive alarms; None where there is none."""
    alarms = runs.alarms[statistic][runs.rows_of(run)].astype(int)
    lasting = np.convolve(alarms, np.ones(protocol.lasting, dtype=int), mode="valid") == protocol.lasting
    return int(lasting.argmax()) if lasting.any() else None


def _side_by_side(protocol: Protocol, runs: dict[str, _Runs]) -> Table:
    """Every statistic of both models, each at its own limit from the reference."""
    at_noise = np.asarray([fault.at_noise for fault in protocol.faults.values()])
    rows = []
    for name, each in runs.items():
        for statistic in _STATISTICS:
            shares = each.detection(protocol, statistic)
            alarm, same = each.alarms[statistic][each.good].mean(), each.matched(protocol, statistic).mean()
            found = (float(shares.mean()), float(shares[~at_noise].mean()), float(same))
            rows.append((name, statistic, float(alarm), *found))
    return Table(
        "All statistics, each at its own limit from the reference",
        ("model", "statistic", "false-alarm rate", "detection rate", "without those at noise", "detection, matched"),
        tuple(rows),
        f"Matched: at the limit that gives {100 * _MATCHED_RATE:g} % on the healthy run, to compare only. "
        "shewhart: the largest deviation of one variable, as a chart per variable sees it.",
    )


def _faults(protocol: Protocol, runs: dict[str, _Runs], acting: str, named: dict[str, list[str]]) -> Table:
    shares = {name: each.detection(protocol, acting) for name, each in runs.items()}
    rows = tuple(
        (
            run,
            fault.what + (" (at noise)" if fault.at_noise else ""),
            float(shares["static"][place]),
            float(shares["dynamic"][place]),
            _delay(protocol, runs["static"], run, acting),
            _delay(protocol, runs["dynamic"], run, acting),
            ", ".join(named[run]),
            "yes" if set(named[run]) & set(fault.variables) else "no",
        )
        for place, (run, fault) in enumerate(protocol.faults.items())
    )
    return Table(
        f"Each fault by {acting}",
        ("run", "fault", "static", "dynamic", "delay static", "delay dynamic", "named", "of its description"),
        rows,
        f"Delay: rows until the first of {protocol.lasting} alarms in a row.",
    )


def _draw(protocol: Protocol, runs: dict[str, _Runs], acting: str, file: Path) -> None:
    """Both models' detection rate of each fault."""
    drawn, (axis,) = pictures.figure(width=7.0)
    place = np.arange(len(protocol.faults))
    for shift, (name, colour) in zip((-0.2, 0.2), (("static", pictures.GREY), ("dynamic", pictures.OURS)), strict=True):
        axis.bar(place + shift, runs[name].detection(protocol, acting), 0.4, color=colour, label=name)
    axis.set_xticks(place, [run.split("_")[0] for run in protocol.faults], rotation=45)
    axis.set_ylabel(f"share of rows in alarm, {acting}")
    axis.set_ylim(0, 1.2)
    axis.legend(fontsize=7, ncols=2)
    pictures.save(drawn, file)
