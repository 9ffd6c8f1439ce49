"""Row rules of the control plan as SQL over typed columns, and the clock guards that every feed has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import count

import pyarrow as pa
from duckdb import DuckDBPyConnection

from pipelines.control_plan.derive import RowRule, feed_rules, raw_schema
from pipelines.control_plan.feeds import EVENT_AT, KNOWN_AT
from pipelines.control_plan.site import Site
from pipelines.lake.sql import quote_identifier, quote_literal

POINTS = "cw_control_point"
_EARLIEST = "2000-01-01"
_CODE, _UNIT = "characteristic_code", "unit_code"
_tables = count(1)


@dataclass(frozen=True)
class _Violation:
    """What is wrong with a row that does not fit.

    Attributes:
        condition: true for such a row.
        reason: SQL of the text that says so.
        is_implied: whether another condition is true as well, so that finding the row doesn't need this one.
    """

    condition: str
    reason: str
    is_implied: bool = False


class Rules:
    """What a feed's rows must keep to enter the lake.

    Args:
        con: connection that will run the SQL; gets the tables that conditions look up.
        site: the site.
        feed: name of the feed.
        newest: latest moment believed of any clock so far (wall or plant); what is further ahead than the site's
            `clock_lead_d` is a broken clock.
    """

    def __init__(self, con: DuckDBPyConnection, site: Site, feed: str, newest: datetime) -> None:
        self.feed = feed
        self.schema = raw_schema(site, feed)
        self._joins = ""
        plan = [rule for rule in feed_rules(site, feed) if rule.column in self.schema and rule.kind != "type"]
        is_long, is_series = site.feeds[feed].is_long, site.feeds[feed].shape == "series"
        listed = [rule for rule in plan if is_long and rule.when is not None and rule.when[0] == _CODE]
        direct = [rule for rule in plan if rule not in listed]
        # NaN is above everything in DuckDB, so a range with both ends finds it as well as the infinities.
        closed = {r.column for r in direct if r.kind == "range" and not r.when and None not in (r.low, r.high)}
        self._violations = [
            _Violation(
                _broken(rule, self.schema[rule.column]),
                quote_literal(rule.reason),
                is_implied=rule.kind == "finite" and (rule.column in closed or is_series),
            )
            for rule in direct
        ]
        self._violations += _clock_guards(newest, site.clock_lead_d)
        for kind, column in dict.fromkeys((rule.kind, rule.column) for rule in listed):
            self._look_up(con, [rule for rule in listed if (rule.kind, rule.column) == (kind, column)])
        if is_series:
            self._add_points(con, site)

    def _look_up(self, con: DuckDBPyConnection, rules: list[RowRule]) -> None:
        """Rules of one kind and column that hold for one characteristic each: a chain of a hundred is slow."""
        name, kind = rules[0].column, self.schema[rules[0].column]
        table = f"cw_rules_{next(_tables)}"
        con.register("cw_rules_arrow", _listed(rules))
        con.execute(
            f"CREATE TEMP TABLE {table} AS SELECT code, units, factors, CAST(low AS {kind}) AS low, "
            f"CAST(high AS {kind}) AS high, allowed, reason FROM cw_rules_arrow"
        )
        con.unregister("cw_rules_arrow")
        value = f"typed.{quote_identifier(name)}"
        self._joins += f" LEFT JOIN {table} ON {table}.code = typed.{_CODE}"
        if rules[0].kind == "allowed":
            broken = f"NOT list_contains({table}.allowed, {value})"
        else:  # as staging will show it: a value that is impossible in the plan's unit never gets there
            converted = f"{value} * {table}.factors[list_position({table}.units, typed.{_UNIT})]"
            broken = f"{converted} < {table}.low OR {converted} > {table}.high"
        self._violations.append(_Violation(broken, f"{table}.reason"))

    def _add_points(self, con: DuckDBPyConnection, site: Site) -> None:
        """Ranges of the control points; FLOAT as the values are, so that limits compare equal."""
        con.register("cw_points_arrow", site.plan.control_points())
        con.execute(
            f"CREATE OR REPLACE TEMP TABLE {POINTS} AS SELECT control_point_no AS point_no, "
            "CAST(physical_min AS FLOAT) AS low, CAST(physical_max AS FLOAT) AS high FROM cw_points_arrow"
        )
        con.unregister("cw_points_arrow")
        self._joins += f" LEFT JOIN {POINTS} ON {POINTS}.point_no = typed.control_point_no"
        self._violations.append(_Violation(f"{POINTS}.point_no IS NULL", "'unknown control_point_no'"))
        outside = f"typed.value < {POINTS}.low OR typed.value > {POINTS}.high"
        self._violations.append(_Violation(outside, "'value is outside the physical range of its control point'"))

    @property
    def joins(self) -> str:
        """Joins that the conditions need behind a relation called `typed`; never more rows than it has."""
        return self._joins

    @property
    def is_bad(self) -> str:
        """Condition that is true, never NULL, for a row of `typed` that does not fit."""
        return f"(({') OR ('.join(each.condition for each in self._violations if not each.is_implied)})) IS TRUE"

    @property
    def reason(self) -> str:
        """Everything wrong with a row that does not fit, as text."""
        arms = ", ".join(f"CASE WHEN {each.condition} THEN {each.reason} END" for each in self._violations)
        return f"concat_ws('; ', {arms})"


def _listed(rules: Sequence[RowRule]) -> pa.Table:
    """Rules for one characteristic each as a table; executemany would import pandas for it."""
    return pa.table(
        {
            "code": pa.array([rule.when[1] if rule.when else None for rule in rules], pa.string()),
            "units": pa.array([[unit for unit, _ in rule.units] for rule in rules], pa.list_(pa.string())),
            "factors": pa.array([[factor for _, factor in rule.units] for rule in rules], pa.list_(pa.float64())),
            "low": pa.array([rule.low for rule in rules], pa.float64()),
            "high": pa.array([rule.high for rule in rules], pa.float64()),
            "allowed": pa.array([list(rule.allowed) for rule in rules], pa.list_(pa.string())),
            "reason": pa.array([rule.reason for rule in rules], pa.string()),
        }
    )


def _clock_guards(newest: datetime, lead_d: float) -> list[_Violation]:
    """Guards of both clocks; event_at is at most a tolerance after known_at by the plan's own rule."""
    latest = newest + timedelta(days=lead_d)
    ahead = f"{KNOWN_AT} is more than {lead_d:g} days ahead of all clocks: a clock in the future"
    reset = f"{EVENT_AT} is before {_EARLIEST}: a clock that was reset"
    return [
        _Violation(f"typed.{KNOWN_AT} > TIMESTAMP '{latest:%Y-%m-%d %H:%M:%S}'", quote_literal(ahead)),
        _Violation(f"typed.{EVENT_AT} < TIMESTAMP '{_EARLIEST}'", quote_literal(reset)),
    ]


def casts(schema: Mapping[str, str], found: Mapping[str, str], sources: Mapping[str, str]) -> tuple[str, str]:
    """Projection into the raw types, and the reason why a value could not be cast.

    Args:
        schema: raw columns and their types.
        found: type of each column as delivered; a column that is not there becomes NULL.
        sources: expression of each delivered column.

    Returns:
        SQL of the columns, and SQL of type VARCHAR that is NULL when every value is of its type.
    """
    columns = []
    misfits = []
    for name, kind in schema.items():
        quoted = quote_identifier(name)
        if name not in found:
            columns.append(f"CAST(NULL AS {kind}) AS {quoted}")
        elif found[name] == kind:
            columns.append(f"{sources[name]} AS {quoted}")
        else:
            cast = f"TRY_CAST({sources[name]} AS {kind})"
            columns.append(f"{cast} AS {quoted}")
            text = quote_literal(f"{name} is not of type {kind}")
            misfits.append(f"CASE WHEN {sources[name]} IS NOT NULL AND {cast} IS NULL THEN {text} END")
    reason = f"nullif(concat_ws('; ', {', '.join(misfits)}), '')" if misfits else "CAST(NULL AS VARCHAR)"
    return ", ".join(columns), reason


def _broken(rule: RowRule, kind: str) -> str:
    """Condition of a row that breaks the rule; NULL, like false, when the rule says nothing about it."""
    name = f"typed.{quote_identifier(rule.column)}"
    if rule.kind == "not_null":
        broken = f"{name} IS NULL"
    elif rule.kind == "finite":
        broken = f"NOT isfinite({name})"
    elif rule.kind == "range":
        sides = [f"{name} < CAST({rule.low!r} AS {kind})"] * (rule.low is not None)
        sides += [f"{name} > CAST({rule.high!r} AS {kind})"] * (rule.high is not None)
        broken = " OR ".join(sides) or "false"
    elif rule.kind == "allowed":
        broken = (
            f"{name} NOT IN ({', '.join(quote_literal(each) for each in rule.allowed)})"
            if rule.allowed
            else f"{name} IS NOT NULL"
        )
    else:
        broken = f"{name} > typed.{quote_identifier(KNOWN_AT)} + INTERVAL ({int(rule.high or 0)}) SECOND"
    if rule.when is not None:
        column, wanted = rule.when
        return f"typed.{quote_identifier(column)} = {quote_literal(wanted)} AND ({broken})"
    return broken
