"""Promoted models as a set-point search asks them: what the ends of their intervals are at other set-points."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from models.context import ModelContext
from models.evaluation.conformal import tail_width
from models.optimizer.aim import row_of
from models.optimizer.setpoint_spec import Kept, SetpointSearch, Term
from models.registry.client import open_client
from models.registry.versions import champion
from models.scoring.runtime import Scorer, raw_columns
from pipelines.control_plan.derive import monotone_sign
from pipelines.control_plan.errors import CellworksError
from pipelines.control_plan.plan import Characteristic
from pipelines.control_plan.site import Site
from pipelines.optimizers.runs import Floats
from pipelines.optimizers.setpoint_search import Cost, Limit


@dataclass(frozen=True)
class Asked:
    """The champions that a search asks, by the name of their solution; those that are not there yet are left out."""

    scorers: Mapping[str, Scorer]

    @property
    def columns(self) -> list[str]:
        """Columns that they read."""
        each = (raw_columns(scorer.bundle["features"]) for scorer in self.scorers.values())
        return list(dict.fromkeys(name for names in each for name in names))

    @property
    def trained_until(self) -> np.datetime64 | None:
        """Before which all of them had learnt every run; None where one does not say."""
        told = [scorer.bundle["record"]["trained_until"] for scorer in self.scorers.values()]
        return None if None in told or not told else min(np.datetime64(moment, "us") for moment in told)


def champions(kind: SetpointSearch, ctx: ModelContext) -> Asked:
    """The champions of the models that the search asks.

    Raises:
        CellworksError: MLflow does not answer, or a model answers with classes.
    """
    client, found = open_client(ctx), {}
    for kept in kind.keep:
        reigning = champion(ctx.home, kept.solution.replace("/", "."), client=client, audited=ctx.is_guarded)
        if reigning is None or reigning.version is None:
            continue
        scorer = reigning.version.scorer(ctx.n_threads)
        if scorer.task not in ("regression", "quantile"):
            raise CellworksError(
                f"'{kept.solution}' predicts no number with an interval",
                expected="a PredictiveModel with task regression or quantile",
                found=scorer.task,
                mend="correct `optimizer.keep`",
            )
        # A version that was learnt before bounds of so small a rate were kept can promise nothing: it is not asked.
        if kept.rate is None or tail_width(scorer.bundle["interval"], kept.rate, "above") is not None:
            found[kept.solution] = scorer
    return Asked(found)


def limits_of(
    kind: SetpointSearch, site: Site, variant: str | None, asked: Asked, runs: pa.Table, where: str
) -> list[Limit]:
    """What must be kept, for the runs that stand for the next one.

    Args:
        kind: names the quantities.
        site: its plan has their limits, and the signs of the set-points' known effects.
        variant: of the machine.
        asked: a model for each quantity.
        runs: columns that the models read, of n runs.
        where: the solution, for messages.

    Raises:
        CellworksError: the plan lacks a quantity, or it has no limits there.
    """
    moved = [row_of(site, name, variant, where) for name in kind.move]
    found = []
    for kept in kind.keep:
        row = row_of(site, kept.of, variant, where)
        if row.lsl is None and row.usl is None:
            raise CellworksError(
                f"'{row.code}' has no limits to keep", expected="lsl or usl in the plan", found="neither", where=where
            )
        found += _both_sides(row, kept, moved, kind.move, asked.scorers[kept.solution], runs)
    return found


def _both_sides(
    row: Characteristic,
    kept: Kept,
    moved: Sequence[Characteristic],
    names: Sequence[str],
    scorer: Scorer,
    runs: pa.Table,
) -> list[Limit]:
    now = _ends(scorer, kept.rate)(runs)
    signs = tuple(monotone_sign(one, row.code) for one in moved)
    found = []
    for limit, end, side in ((row.usl, "high", 1), (row.lsl, "low", -1)):
        if limit is not None:
            half = float(np.mean(np.abs(now[end] - now["value"])))
            bound = _bound(scorer, kept.rate, runs, names, end)
            found.append(Limit(row.code, limit - side * kept.margin, end == "high", bound, half, signs))
    return found


def _ends(scorer: Scorer, rate: float | None) -> Callable[[pa.Table], dict[str, Floats]]:
    """Predictions with the ends of the model's interval, or with those beyond which no more than `rate` lies."""
    interval = scorer.bundle["interval"]
    further = {"low": 0.0, "high": 0.0}
    if rate is not None:
        for end, side, sign in (("low", "below", -1), ("high", "above", 1)):
            width = tail_width(interval, rate, side)
            if width is None:
                raise ValueError(f"the model keeps no bound of rate {rate}")
            further[end] = sign * (width - interval[side])

    def ends(table: pa.Table) -> dict[str, Floats]:
        found = scorer.predict(table)
        return {**found, **{end: found[end] + further[end] for end in further}}

    return ends


def _bound(
    scorer: Scorer, rate: float | None, runs: pa.Table, names: Sequence[str], end: str
) -> Callable[[Floats], Floats]:
    """The end of the model's interval for each run at other set-points, (m, n, k) to (m, n)."""
    read, ends = set(runs.column_names), _ends(scorer, rate)

    def bound(points: Floats) -> Floats:
        count, rows, _ = points.shape
        table = runs.take(pa.array(np.tile(np.arange(rows), count)))
        for place, name in enumerate(names):
            if name in read:
                column = pa.chunked_array([pa.array(points[:, :, place].ravel())])
                table = table.set_column(table.schema.get_field_index(name), name, column)
        found: Floats = np.asarray(ends(table)[end], dtype=np.float64).reshape(count, rows)
        return found

    return bound


def cost_of(terms: Sequence[Term], names: Sequence[str], nominal: Floats) -> Cost:
    """What set-points cost, as a share of what the recipe costs: the terms' products, and 1 less their shares."""

    def cost(points: Floats) -> Floats:
        total = np.full(len(points), 1.0 - sum(term.share for term in terms))
        for term in terms:
            product = np.full(len(points), term.share)
            for factor in term.factors:
                place = names.index(factor.of)
                product *= ((points[:, place] - factor.less) / (nominal[place] - factor.less)) ** factor.power
            total += product
        found: Floats = total
        return found

    return cost
