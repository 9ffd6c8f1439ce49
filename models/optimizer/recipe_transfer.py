"""Recipes as answers: whether each runs on the line, its window, what ends it, and where it is to be set."""

from __future__ import annotations

import json
from datetime import datetime

import numpy as np
import pyarrow as pa

from models.context import ModelContext
from models.features.source import open_tables
from models.optimizer.aim import row_of
from models.optimizer.reading import floats
from models.optimizer.recipe_spec import DENSITY, OUTCOMES, RECIPE, SETTINGS, RecipeTransfer
from models.optimizer.run_to_run import number
from models.optimizer.spec import OptimizerSpec
from models.scoring.rule import RuleAnswers
from pipelines.control_plan.errors import CellworksError
from pipelines.control_plan.plan import Characteristic
from pipelines.control_plan.site import Site
from pipelines.lake.sql import quote_identifier
from pipelines.optimizers.recipe_window import Fit, Limit, Line, Recipes, Window, learn, window
from pipelines.optimizers.runs import Floats

_SPEED_STEP, _LOAD_STEP = 0.5, 10.0


def answer(spec: OptimizerSpec, kind: RecipeTransfer, ctx: ModelContext, now: datetime) -> RuleAnswers | None:
    """What is told of every recipe that was asked for; None where none was.

    Raises:
        CellworksError: there is no site, a column is missing, or the plan lacks a limit or a set-point.
    """
    if ctx.site is None:
        raise CellworksError(f"{spec.solution} needs a control plan", expected="a site", found="none")
    with open_tables(ctx, spec.table) as tables:
        tables.columns_with(spec.table, spec.named_columns, spec.solution)
        tables.columns_with(kind.trial_table, [*RECIPE, *SETTINGS, *OUTCOMES, DENSITY, kind.known_at], spec.solution)
        key, known = quote_identifier(spec.keys[0]), quote_identifier(kind.known_at)
        asked = tables.arrow(
            f"SELECT {key}, {quote_identifier(kind.asked_at)} AS asked_at, {_doubles([*RECIPE, DENSITY])}"
            f" FROM {tables.relation(spec.table)} WHERE {known} <= ? ORDER BY {key}",
            [now],
        )
        tried = tables.arrow(
            f"SELECT {_doubles([*RECIPE, *SETTINGS, *OUTCOMES, DENSITY])} FROM {tables.relation(kind.trial_table)}"
            f" WHERE {known} <= ?",
            [now],
        )
    if not asked.num_rows:
        return None
    line = line_of(kind, ctx.site, spec.solution)
    fits = learnt(line, {name: floats(tried, name) for name in tried.column_names})
    recipes = recipes_of({name: floats(asked, name) for name in RECIPE})
    told = windows(kind, ctx.site, line, fits, recipes, floats(asked, DENSITY), spec.solution)
    return _told(spec, asked, told, line)


def _doubles(names: list[str]) -> str:
    return ", ".join(f"{quote_identifier(name)}::DOUBLE AS {quote_identifier(name)}" for name in names)


def recipes_of(columns: dict[str, Floats]) -> Recipes:
    """Recipes from the columns of a table."""
    return Recipes(*(columns[name] for name in RECIPE))


def learnt(line: Line, trials: dict[str, Floats]) -> dict[str, Fit] | None:
    """The forms of all outcomes fitted to the trials; None where these are too few."""
    outcomes = {name: trials[name] for name in (*OUTCOMES, DENSITY)}
    speed, load = (trials[name] for name in SETTINGS)
    return learn(line, recipes_of(trials), speed, load, outcomes)


def line_of(kind: RecipeTransfer, site: Site, where: str) -> Line:
    """Today's recipe and what can be set, of the control plan.

    Raises:
        CellworksError: the plan lacks one of them.
    """
    solids, viscosity, weight, speed = (_nominal(site, kind, name, where) for name in (*RECIPE, SETTINGS[0]))
    speeds, loads = (_settable(_row(site, kind, name, where), step, where) for name, step in _STEPS)
    return Line(
        solids, viscosity, weight, speed, speeds, loads, kind.most_flow, kind.solid_g_cm3, kind.least_porosity
    )  # fmt: skip


_STEPS = ((SETTINGS[0], _SPEED_STEP), (SETTINGS[1], _LOAD_STEP))


def _row(site: Site, kind: RecipeTransfer, name: str, where: str) -> Characteristic:
    return row_of(site, name, kind.variant, where)


def _nominal(site: Site, kind: RecipeTransfer, name: str, where: str) -> float:
    row = _row(site, kind, name, where)
    if row.nominal is None:
        raise CellworksError(
            f"'{row.code}' has no value in today's recipe",
            expected="a nominal value in the control plan", found="none", where=where,
        )  # fmt: skip
    return row.nominal


def _settable(row: Characteristic, step: float, where: str) -> Floats:
    if row.lsl is None or row.usl is None:
        raise CellworksError(
            f"'{row.code}' has no range in which it may be set",
            expected="lsl and usl in the control plan", found="not both", where=where,
        )  # fmt: skip
    return np.arange(row.lsl, row.usl + step / 2, step)


def limits_of(kind: RecipeTransfer, site: Site, where: str) -> list[Limit]:
    """Limits of the plan of all outcomes but the density, whose limits are the recipe's own.

    Raises:
        CellworksError: the plan lacks an outcome.
    """
    rows = [(name, _row(site, kind, name, where)) for name in OUTCOMES]
    ends = [(name, row.usl, True) for name, row in rows] + [(name, row.lsl, False) for name, row in rows]
    return [Limit(name, at, is_upper) for name, at, is_upper in ends if at is not None]


def windows(
    kind: RecipeTransfer,
    site: Site,
    line: Line,
    fits: dict[str, Fit] | None,
    recipes: Recipes,
    densities_g_cm3: Floats,
    where: str,
) -> list[Window]:
    """The window of each recipe; where nothing is learnt yet, all wait."""
    limits = limits_of(kind, site, where)
    if fits is None:
        return [Window("too_few", "trials", np.nan)] * len(densities_g_cm3)
    return [
        window(
            line, fits, recipes.take(row), float(density), kind.density_tolerance_g_cm3, limits, kind.confidence
        )
        for row, density in enumerate(densities_g_cm3)
    ]  # fmt: skip


def _told(spec: OptimizerSpec, asked: pa.Table, told: list[Window], line: Line) -> RuleAnswers:
    keys = {spec.keys[0]: asked[spec.keys[0]]}
    acts_on = "release" if spec.action.kind == "release" else "hold"
    figures = {
        "web_speed_m_min": [each.speed_m_min for each in told],
        "slowest_m_min": [each.slowest_m_min for each in told],
        "fastest_m_min": [each.fastest_m_min for each in told],
        "line_load_n_mm": [each.load_n_mm for each in told],
        "fails_probability": [each.fails for each in told],
    }
    columns = {name: pa.array([number(value) for value in values], pa.float64()) for name, values in figures.items()}
    return RuleAnswers(
        keys=keys,
        event_at=asked["asked_at"].combine_chunks(),
        answers={
            "value": columns["web_speed_m_min"].to_pylist(),
            "probability": [number(each.fails) for each in told],
            "low": columns["slowest_m_min"].to_pylist(),
            "high": columns["fastest_m_min"].to_pylist(),
            "class": [each.verdict if each.verdict != "too_few" else None for each in told],
            "is_flagged": [each.verdict == acts_on for each in told],
            "reasons": [_reasons(each) for each in told],
        },
        checks=_checks(told, line),
        further={"window": pa.table({**keys, **columns, "limited_by": pa.array([each.limited_by for each in told])})},
    )


def _reasons(each: Window) -> str:
    what = "keeps the recipe from running" if each.verdict == "hold" else "ends the window"
    parts: list[dict[str, str | float | None]] = [{"feature": each.limited_by, "value": None, "limit": what}]
    parts += [
        {"feature": name, "value": number(round(value, 4)), "limit": "share of its limit that is left"}
        for name, value in (each.margin or {}).items()
    ]
    return json.dumps(parts)


def _checks(told: list[Window], line: Line) -> dict[str, tuple[bool, str]]:
    """What is to be known of the windows before anybody follows them."""
    released = [each for each in told if each.verdict == "release"]
    outside = [
        each
        for each in released
        if not line.speeds_m_min[0] <= each.slowest_m_min <= each.speed_m_min <= line.speeds_m_min[-1]
        or not line.loads_n_mm[0] <= each.load_n_mm <= line.loads_n_mm[-1]
        or min((each.margin or {}).values(), default=-1.0) < 0
    ]
    few = sum(each.verdict == "too_few" for each in told)
    return {
        "within_limits": (not outside, f"{len(outside)} recipes set beyond a limit" if outside else ""),
        "within_rate": (True, ""),
        "fresh": (few == 0, f"{few} recipes wait for more trials" if few else ""),
        "steady": (True, ""),
        "gain_known": (few == 0, "too few trials to tell what a speed brings" if few else ""),
    }
