"""Watching a champion: drift of inputs and scores at once, live skill as the labels arrive."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from duckdb import DuckDBPyConnection

from models.context import ModelContext
from models.drift.live import LiveDay, live_skill
from models.drift.reference import MIN_ROWS, NEWEST, ks, psi
from models.features.frame import load_frame
from models.features.these import these_rows
from models.registry.client import open_client
from models.registry.versions import Version, champion, without_champion
from models.scoring.runtime import Array, Scorer, raw_columns
from models.scoring.table import relation
from models.solution import SolutionSpec
from models.spec import PredictiveSpec
from pipelines.lake.clock import wall_now
from pipelines.lake.connection import create_missing, reader, transaction, writer
from pipelines.lake.lock import MONITORING
from pipelines.lake.sql import quote_identifier
from pipelines.lake.tables import has_table

PSI_LIMIT = 0.25
KS_LIMIT = 0.15
_SHARE_THAT_MATTERS = 0.02

_LIVE_SKILL = {
    "solution": "VARCHAR NOT NULL",
    "model_version": "INTEGER NOT NULL",
    "production_day": "DATE NOT NULL",
    "metric": "VARCHAR NOT NULL",
    "value": "DOUBLE",
    "low": "DOUBLE",
    "high": "DOUBLE",
    "rows": "BIGINT NOT NULL",
    "measured_at": "TIMESTAMP NOT NULL",
}
_DRIFT = {
    "solution": "VARCHAR NOT NULL",
    "model_version": "INTEGER NOT NULL",
    "predicted_at": "TIMESTAMP NOT NULL",
    "kind": "VARCHAR NOT NULL",
    "name": "VARCHAR NOT NULL",
    "psi": "DOUBLE NOT NULL",
    "ks": "DOUBLE NOT NULL",
    "psi_limit": "DOUBLE NOT NULL",
    "ks_limit": "DOUBLE NOT NULL",
    "is_drifted": "BOOLEAN NOT NULL",
    "rows": "BIGINT NOT NULL",
    "measured_at": "TIMESTAMP NOT NULL",
}


@dataclass(frozen=True)
class Drift:
    """Drift of one input, or of the score: it counts when both figures pass their limits."""

    kind: str
    name: str
    psi: float
    ks: float
    psi_limit: float
    ks_limit: float
    rows: int

    @property
    def is_drifted(self) -> bool:
        """Whether both figures pass their limits."""
        return self.psi > self.psi_limit and self.ks > self.ks_limit


@dataclass(frozen=True)
class MonitorReport:
    """What monitoring saw.

    Attributes:
        name: `<stage>.<slug>`.
        version: The champion's number; None without one.
        days: Live figures per day and metric, newest last.
        drift: Every watched input and the score.
        skill_lost: The newest days' live skill is below the hold-out's interval; None while no label has arrived, or
            too few groups have.
        sentence: In words.
        skipped: Why nothing was watched; empty otherwise.
    """

    name: str
    version: str | None
    days: list[LiveDay] = field(default_factory=list)
    drift: list[Drift] = field(default_factory=list)
    skill_lost: bool | None = None
    sentence: str = ""
    skipped: str = ""

    @property
    def drifted_inputs(self) -> list[Drift]:
        """Inputs that drifted, strongest first."""
        found = [each for each in self.drift if each.kind == "input" and each.is_drifted]
        return sorted(found, key=lambda each: -each.psi)

    @property
    def score_drifted(self) -> bool:
        """Whether the predictions drifted."""
        return any(each.is_drifted for each in self.drift if each.kind == "score")


def measured(kind: str, name: str, reference: dict[str, Any], values: Array) -> Drift:
    """Drift of an input or of the score against its reference, with limits beyond what stretches of training show."""
    noise = reference.get("noise", {"psi": 0.0, "ks": 0.0})
    limits = max(PSI_LIMIT, 1.5 * noise["psi"]), max(KS_LIMIT, 1.25 * noise["ks"])
    return Drift(kind, name, psi(reference, values), ks(reference, values), *limits, rows=len(values))


def newest_scores(spec: SolutionSpec, ctx: ModelContext, version: int) -> pa.Table | None:
    """The newest scored entities of a version: the last batch, filled up with earlier ones to a fair number."""
    with reader(ctx.home) as con:
        if not has_table(con, "solutions", spec.slug):
            return None
        keys = ", ".join(quote_identifier(key) for key in spec.keys)
        return con.execute(
            f"SELECT {keys}, value FROM {relation(spec.slug)} WHERE model_version = ? "
            f"ORDER BY event_at DESC NULLS LAST, scored_at DESC, hash({keys}) LIMIT {NEWEST}",
            [version],
        ).to_arrow_table()


def measure_drift(spec: PredictiveSpec, ctx: ModelContext, version: Version, scorer: Scorer) -> list[Drift]:
    """PSI and KS of the newest scored entities against training; empty below 100 entities."""
    newest = newest_scores(spec, ctx, int(version.number))
    if newest is None or newest.num_rows < MIN_ROWS:
        return []
    reference = json.loads((version.bundle / "reference.json").read_text(encoding="utf-8"))
    features = scorer.bundle["features"]
    columns, places = raw_columns(features), {each["name"]: place for place, each in enumerate(features)}
    where, relations = these_rows(spec, newest, None)
    bare = spec.model_copy(update={"slices": []})
    frame = load_frame(bare, ctx, with_target=False, columns=columns, where=where, relations=relations)
    x = scorer.matrix(frame.table)
    out = [
        measured("input", name, each, x[:, places[name]])
        for name, each in reference["inputs"].items()
        if each["share"] >= _SHARE_THAT_MATTERS
    ]
    return [*out, measured("score", "value", reference["score"], np.asarray(newest.column("value").to_numpy()))]


def _lost(days: list[LiveDay], tags: dict[str, float]) -> tuple[bool | None, str]:
    """Whether the live figure over all labels since promotion is worse than the hold-out's interval."""
    whole = [day for day in days if day.production_day is None and day.metric in tags]
    if not whole:
        return None, "no label has arrived yet for what was predicted"
    day = whole[0]
    if day.low is None or day.high is None:
        return None, f"live {day.metric} {day.value:.4g} cannot tell yet: its labels are of too few groups"
    edge = tags[day.metric]
    higher = day.higher_is_better
    is_lost = day.high < edge if higher else day.low > edge
    word = "is lost" if is_lost else "holds"
    promised = f"the hold-out promised {'at least' if higher else 'at most'} {edge:.4g}"
    return is_lost, f"live {day.metric} {day.value:.4g} ({day.low:.4g} to {day.high:.4g}) {word}: {promised}"


def _promised(client: Any, version: Version) -> dict[str, float]:
    """The hold-out's worst end of the interval by metric, as the training run logged it."""
    metrics = client.get_run(version.run_id).data.metrics
    out = {}
    for name in ("roc_auc", "brier", "rmse", "mae", "accuracy"):
        end = f"{name}_low" if name in ("roc_auc", "accuracy") else f"{name}_high"
        if end in metrics:
            out[name] = float(metrics[end])
    return out


def monitor(spec: PredictiveSpec, ctx: ModelContext, *, has_live_skill: bool = True) -> MonitorReport:
    """Measure drift and live skill of the champion and write `ops.drift` and `ops.live_skill`.

    Args:
        spec: the solution.
        ctx: snapshot, moment and registry.
        has_live_skill: whether the newest labels are a fair sample, so that skill on them can be told.

    Returns:
        What was seen; a repeated call over the same rows writes the same rows again in place of the old ones.
    """

    def watch(version: Version) -> Seen:
        scorer = version.scorer(ctx.n_threads)
        drift = measure_drift(spec, ctx, version, scorer)
        days = live_skill(spec, ctx, int(version.number), scorer.bundle) if has_live_skill else []
        return Seen(days, drift, *_lost(days, _promised(open_client(ctx), version)))

    return watch_by(spec, ctx, watch)


@dataclass(frozen=True)
class Seen:
    """What a family saw of its champion; see `MonitorReport`."""

    days: list[LiveDay]
    drift: list[Drift]
    skill_lost: bool | None
    sentence: str


def watch_by(spec: SolutionSpec, ctx: ModelContext, watch: Callable[[Version], Seen]) -> MonitorReport:
    """Let a family watch its champion, and write what it saw: the way of every family.

    Args:
        spec: the solution.
        ctx: snapshot, moment and registry.
        watch: the family's own part.
    """
    client = open_client(ctx)
    reigning = champion(ctx.home, spec.name, client=client, audited=ctx.is_guarded)
    if reigning is None:
        return MonitorReport(spec.name, None, skipped=without_champion(client, spec.name))
    version = reigning.version
    if version is None:
        return MonitorReport(spec.name, None, skipped="there is no champion that may act")
    if not ctx.home.has_lake:
        return MonitorReport(spec.name, version.number, skipped="nothing was scored yet")
    seen = watch(version)
    _write(ctx, spec, int(version.number), seen.drift, seen.days)
    return MonitorReport(spec.name, version.number, seen.days, seen.drift, seen.skill_lost, seen.sentence)


def _write(ctx: ModelContext, spec: SolutionSpec, version: int, drift: list[Drift], days: list[LiveDay]) -> None:
    """Replace this version's rows of the same days and of the same batch in `ops.live_skill` and `ops.drift`."""
    now = wall_now()
    at = ctx.as_of or now
    own_days = [day for day in days if day.production_day is not None]
    if not drift and not own_days:
        return
    common = {"solution": spec.solution, "model_version": version, "measured_at": now}
    skill = [common | asdict(day) for day in own_days]
    moved = [common | asdict(each) | {"predicted_at": at, "is_drifted": each.is_drifted} for each in drift]
    with writer(ctx.home, why=f"monitoring of {spec.solution}", area=MONITORING) as con:
        _ensure_tables(con)
        with transaction(con):
            con.execute(
                "DELETE FROM lake.ops.live_skill WHERE solution = ? AND model_version = ?", [spec.solution, version]
            )
            con.execute("DELETE FROM lake.ops.drift WHERE solution = ? AND predicted_at = ?", [spec.solution, at])
            _insert(con, "live_skill", _LIVE_SKILL, skill)
            _insert(con, "drift", _DRIFT, moved)


def _ensure_tables(con: DuckDBPyConnection) -> None:
    create_missing(con, "CREATE SCHEMA IF NOT EXISTS lake.ops")
    for table, columns in (("live_skill", _LIVE_SKILL), ("drift", _DRIFT)):
        body = ", ".join(f"{quote_identifier(name)} {kind}" for name, kind in columns.items())
        create_missing(con, f"CREATE TABLE IF NOT EXISTS lake.ops.{table} ({body})")


def _insert(con: DuckDBPyConnection, table: str, columns: dict[str, str], rows: list[dict[str, Any]]) -> None:
    """Append rows in one statement."""
    if not rows:
        return
    con.register(f"__{table}", pa.table({name: [row[name] for row in rows] for name in columns}))
    names = ", ".join(quote_identifier(name) for name in columns)
    con.execute(f"INSERT INTO lake.ops.{table} ({names}) SELECT {names} FROM __{table}")
