"""Designs of a cell as answers: the best that physics found, beside today's; what was worked out stays in the lake."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime

import numpy as np
import pyarrow as pa

from models.context import ModelContext
from models.features.source import open_tables
from models.optimizer.cell_physics import (
    DESIGN,
    FIGURES,
    FORMAT,
    Basis,
    as_designs,
    basis_of,
    figures_of,
    stack_figures,
)
from models.optimizer.design_spec import CellDesign
from models.optimizer.reading import floats
from models.optimizer.run_to_run import number
from models.optimizer.spec import OptimizerSpec
from models.scoring.rule import RuleAnswers
from models.scoring.table import relation
from pipelines.control_plan.errors import CellworksError
from pipelines.lake.connection import reader
from pipelines.lake.sql import quote_identifier
from pipelines.lake.tables import has_table
from pipelines.optimizers.bayesian import Able, Kept, Setting, best_so_far, least_trials, next_trials, spread_out
from pipelines.optimizers.runs import Bools, Floats

WorkOut = Callable[[Floats], Floats]
"""Designs, shape (n, 4), to their figures, shape (n, 8)."""


@dataclass(frozen=True)
class Found:
    """What a search worked out, today's design first.

    Attributes:
        designs: shape (n, 4). figures: shape (n, 8).
        best: place of the best one that keeps every limit; 0 where none is better than today's.
    """

    designs: Floats
    figures: Floats
    best: int


def search_designs(kind: CellDesign, today: Floats, work_out: WorkOut, able: Able, seed: int) -> Found:
    """Work out designs: some that fill the space, then batch by batch those that promise most.

    Args:
        kind: what is varied, improved and kept, and how many designs are worked out.
        today: the design in production, shape (4,).
        work_out: the physics.
        able: which settings keep the limits that the stack alone tells of; see `laid_out`.
        seed: of the designs that are looked at.
    """
    settings, places = settings_of(kind), [DESIGN.index(one.of) for one in kind.vary]
    first = min(least_trials(len(settings)), kind.runs - 1)
    designs = np.vstack([today[None], _whole(today, places, spread_out(settings, first, seed, able=able))])
    figures = work_out(designs)
    while len(designs) < kind.runs:
        usable = np.isfinite(figures).all(axis=1)
        count = min(kind.batch, kind.runs - len(designs))
        trials = next_trials(
            settings, designs[usable][:, places], *_aims(kind, figures[usable], figures[0]),
            is_higher_better=kind.improve.to == "higher", count=count, seed=seed, able=able,
        )  # fmt: skip
        if not len(trials.settings):
            break  # every design that comes into question was worked out
        more = _whole(today, places, trials.settings)
        designs, figures = np.vstack([designs, more]), np.vstack([figures, work_out(more)])
    return Found(designs, figures, chosen(kind, figures))


def laid_out(kind: CellDesign, today: Floats, basis: Basis) -> Able:
    """Which settings keep the limits on porosity and sheets, that no physics is needed for."""
    of_now, places = stack_figures(as_designs(today[None]), basis)[0], [DESIGN.index(one.of) for one in kind.vary]
    limited = [one for one in kind.keep if one.of in of_now]

    def able(settings: Floats) -> Bools:
        found = stack_figures(as_designs(_whole(today, places, settings)), basis)
        keeps = [
            (one.at_least is None or each[one.of] >= one.at_least * of_now[one.of])
            and (one.at_most is None or each[one.of] <= one.at_most * of_now[one.of])
            for each in found
            for one in limited
        ]
        kept: Bools = np.array(keeps, dtype=bool).reshape(len(settings), len(limited))
        every: Bools = np.all(kept, axis=1)
        return every

    return able


def settings_of(kind: CellDesign) -> list[Setting]:
    """What is varied, as the optimiser takes it."""
    return [Setting(one.low, one.high, one.step) for one in kind.vary]


def chosen(kind: CellDesign, figures: Floats) -> int:
    """Place of the best design that keeps every limit; the first is today's."""
    known = np.where(np.isfinite(figures), figures, np.nan)
    improve, keep = _aims(kind, known, figures[0])
    worst = -np.inf if kind.improve.to == "higher" else np.inf
    best = best_so_far(
        np.where(np.isfinite(improve), improve, worst), keep, is_higher_better=kind.improve.to == "higher"
    )
    return max(best, 0)


def _aims(kind: CellDesign, figures: Floats, today: Floats) -> tuple[Floats, list[Kept]]:
    """What is improved, and the limits, which are shares of today's figures."""
    keep = []
    for one in kind.keep:
        place = FIGURES.index(one.of)
        low = -np.inf if one.at_least is None else one.at_least * today[place]
        high = np.inf if one.at_most is None else one.at_most * today[place]
        keep.append(Kept(figures[:, place], low, high))
    return figures[:, FIGURES.index(kind.improve.of)], keep


def _whole(today: Floats, places: list[int], settings: Floats) -> Floats:
    designs = np.repeat(today[None], len(settings), axis=0)
    designs[:, places] = settings
    return designs


def answer(spec: OptimizerSpec, kind: CellDesign, ctx: ModelContext, now: datetime) -> RuleAnswers | None:
    """The best design and today's; None before both powders were measured.

    Raises:
        CellworksError: there is no site, a column is missing, or the product lacks numbers.
    """
    if ctx.site is None:
        raise CellworksError(f"{spec.solution} needs a site with a product", expected="a site", found="none")
    measured = _measured(spec, kind, ctx, now)
    if measured is None:
        return None
    basis = basis_of(ctx.site.product, *measured, kind.stack_room_mm, kind.contact_mohm)
    cache = _Cache(spec, ctx, basis)
    today = np.array([ctx.site.product.design[name] for name in DESIGN])
    found = search_designs(kind, today, cache.work_out, laid_out(kind, today, basis), kind.seed)
    return _told(spec, kind, found, cache)


def _measured(spec: OptimizerSpec, kind: CellDesign, ctx: ModelContext, now: datetime) -> tuple[float, float] | None:
    """Measured capacity of both powders over the plan's nominal one, rounded so that few lots change nothing."""
    found = []
    with open_tables(ctx, spec.table) as tables:
        tables.columns_with(spec.table, kind.columns, spec.solution)
        for name in (kind.cathode_capacity, kind.anode_capacity):
            rows = tables.arrow(
                f"""SELECT {quote_identifier(name)}::DOUBLE AS value FROM {tables.relation(spec.table)}
                WHERE {quote_identifier(name)} IS NOT NULL AND {quote_identifier(kind.known_at)} <= ?
                ORDER BY {quote_identifier(kind.known_at)} DESC, value LIMIT {kind.lots}""",
                [now],
            )
            row = ctx.site.plan.by_code.get(name) if ctx.site else None
            if row is None or row.nominal is None:
                raise CellworksError(f"the plan has no nominal value of '{name}'", expected="one", where=spec.solution)
            if not rows.num_rows:
                return None
            found.append(round(float(floats(rows, "value").mean()) / row.nominal, 2))
    return found[0], found[1]


class _Cache:
    """The physics, asked only for what is not in `solutions.<slug>_run` yet."""

    def __init__(self, spec: OptimizerSpec, ctx: ModelContext, basis: Basis) -> None:
        self._basis = basis
        self.digest = hashlib.sha256(json.dumps([FORMAT, asdict(basis)], sort_keys=True).encode()).hexdigest()[:16]
        self._known = self._read(spec, ctx)
        self.fresh: dict[bytes, tuple[Floats, Floats]] = {}

    def _read(self, spec: OptimizerSpec, ctx: ModelContext) -> dict[bytes, Floats]:
        if not ctx.home.has_lake:
            return {}
        with reader(ctx.home) as con:
            if not has_table(con, "solutions", f"{spec.slug}_run"):
                return {}
            rows = con.execute(
                f"SELECT * FROM {relation(f'{spec.slug}_run')} WHERE basis_digest = ?", [self.digest]
            ).to_arrow_table()
        designs, figures = (np.column_stack([floats(rows, name) for name in names]) for names in (DESIGN, FIGURES))
        return {_key(design): values for design, values in zip(designs, figures, strict=True)}

    def work_out(self, designs: Floats) -> Floats:
        """Figures of designs, from the lake where they are known."""
        lost = [design for design in designs if _key(design) not in self._known]
        for design, told in zip(lost, figures_of(as_designs(np.array(lost)), self._basis) if lost else [], strict=True):
            values = np.array([told[name] for name in FIGURES])
            self._known[_key(design)] = values
            self.fresh[_key(design)] = design, values
        return np.array([self._known[_key(design)] for design in designs])

    def table(self) -> pa.Table:
        """What was worked out now."""
        rows = [np.concatenate([design, values]) for design, values in self.fresh.values()]
        values = np.array(rows).reshape(-1, len(DESIGN) + len(FIGURES))
        columns = {
            name: pa.array([number(value) for value in values[:, place]], pa.float64())
            for place, name in enumerate((*DESIGN, *FIGURES))
        }
        return pa.table({"basis_digest": pa.array([self.digest] * len(rows), pa.string()), **columns})


def _key(design: Floats) -> bytes:
    return np.round(design, 9).tobytes()


def _told(spec: OptimizerSpec, kind: CellDesign, found: Found, cache: _Cache) -> RuleAnswers:
    places = [found.best, 0]
    improved = found.figures[places, FIGURES.index(kind.improve.of)]
    is_better = found.best != 0
    worked = int(np.isfinite(found.figures).all(axis=1).sum())
    fresh = cache.table()
    return RuleAnswers(
        keys={spec.keys[0]: pa.chunked_array([pa.array(["proposed", "today"])])},
        event_at=None,
        answers={
            "value": [number(value) for value in improved],
            "class": ["better" if is_better else "today", "today"],
            "is_flagged": [is_better, False],
            "reasons": [_reasons(found, place) for place in places],
        },
        checks={
            "within_limits": (True, ""),
            "within_rate": (True, ""),
            "fresh": (True, ""),
            "steady": (worked == len(found.designs), f"{len(found.designs) - worked} designs could not be worked out"),
            "gain_known": (is_better, "" if is_better else "no design that was worked out is better than today's"),
        },
        further={"run": fresh} if fresh.num_rows else {},
    )


def _reasons(found: Found, place: int) -> str:
    """The design and its figures, beside today's."""
    parts = []
    for names, values in ((DESIGN, found.designs), (FIGURES, found.figures)):
        for no, name in enumerate(names):
            told = f"today {values[0, no]:.4g}"
            parts.append({"feature": name, "value": number(float(f"{values[place, no]:.6g}")), "limit": told})
    return json.dumps(parts)
