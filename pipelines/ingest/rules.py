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
from pipelines.ingest.production_day import ProductionDay
from pipelines.lake.sql import quote_identifier, quote_literal

POINTS = "cw_control_point"
WHOLE = "INTEGER"
_EARLIEST = datetime.fromisoformat("2000-01-01")
_CODE, _UNIT = "characteristic_code", "unit_code"
_tables = count(1)


@dataclass(frozen=True)
class _Violation:
    """What is wrong with a row that does not fit.

    Attributes:
        condition: true for such a row.
        reason: SQL of the text that says so.
        absent: aggregate that is true only where no row of the group is such a one; empty: asked row by row. Over
            millions of rows the ends of a column cost a third of what a comparison of each value does.
        is_implied: whether another condition is true as well, so that finding the row doesn't need this one.
    """

    condition: str
    reason: str
    absent: str = ""
    is_implied: bool = False


@dataclass(frozen=True)
class Clock:
    """What a batch believes of times (UTC).

    Attributes:
        latest: a `known_at` after it comes from a broken clock.
        day: the production day of times that are believed.
    """

    latest: datetime
    day: ProductionDay

    @classmethod
    def of(cls, site: Site, newest: datetime) -> Clock:
        """The clock of a site of which no moment after `newest` has been seen, neither on the wall nor at the plant."""
        latest = newest + timedelta(days=site.clock_lead_d)
        last_event = latest + timedelta(seconds=site.future_tolerance_s)
        return cls(latest, ProductionDay.between(site, _EARLIEST, last_event))


class Rules:
    """What a feed's rows must keep to enter the lake.

    Args:
        con: connection that will run the SQL; gets the tables that conditions look up.
        site: the site.
        feed: name of the feed.
        clock: what is believed of times.
    """

    def __init__(self, con: DuckDBPyConnection, site: Site, feed: str, clock: Clock) -> None:
        self.feed = feed
        self.schema = raw_schema(site, feed)
        self.is_partitioned = site.feeds[feed].is_partitioned
        self._day = clock.day
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
                _absent(rule, self.schema[rule.column]),
                is_implied=rule.kind == "finite" and (rule.column in closed or is_series),
            )
            for rule in direct
        ]
        self._violations += _clock_guards(clock, site.clock_lead_d)
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
        unknown = f"{POINTS}.point_no IS NULL"
        known = f"count({POINTS}.point_no) = count(*)"
        self._violations.append(_Violation(unknown, "'unknown control_point_no'", known))
        outside = f"typed.value < {POINTS}.low OR typed.value > {POINTS}.high"
        # A difference has the sign of the comparison; NaN is above everything.
        inside = f"min(typed.value - {POINTS}.low) >= 0 AND max(typed.value - {POINTS}.high) <= 0"
        reason = "'value is outside the physical range of its control point'"
        self._violations.append(_Violation(outside, reason, inside))

    def day(self, column: str = EVENT_AT) -> str:
        """SQL of the production day of a row that keeps the rules, or of another time of such a row."""
        return self._day.sql(column)

    @property
    def joins(self) -> str:
        """Joins that the conditions need behind a relation called `typed`; never more rows than it has."""
        return self._joins

    @property
    def is_bad(self) -> str:
        """Condition that is true, never NULL, for a row of `typed` that does not fit."""
        return f"(({') OR ('.join(each.condition for each in self._violations if not each.is_implied)})) IS TRUE"

    @property
    def is_faultless(self) -> str:
        """Aggregate over rows of `typed`, never NULL: true only where no row is bad; false may be a false alarm."""
        asked = [each for each in self._violations if not each.is_implied]
        return " AND ".join(f"coalesce({each.absent or f'NOT bool_or({each.condition})'}, true)" for each in asked)

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


def _clock_guards(clock: Clock, lead_d: float) -> list[_Violation]:
    """Guards of both clocks; event_at is at most a tolerance after known_at by the plan's own rule."""
    ahead = f"{KNOWN_AT} is more than {lead_d:g} days ahead of all clocks: a clock in the future"
    reset = f"{EVENT_AT} is before {_EARLIEST:%Y-%m-%d}: a clock that was reset"
    return [
        _beyond(KNOWN_AT, ">", f"TIMESTAMP '{clock.latest:%Y-%m-%d %H:%M:%S}'", ahead),
        _beyond(EVENT_AT, "<", f"TIMESTAMP '{_EARLIEST:%Y-%m-%d}'", reset),
    ]


def _beyond(column: str, sign: str, end: str, reason: str) -> _Violation:
    """A value on the wrong side of an end."""
    absent = f"max(typed.{column}) <= {end}" if sign == ">" else f"min(typed.{column}) >= {end}"
    return _Violation(f"typed.{column} {sign} {end}", quote_literal(reason), absent)


def casts(schema: Mapping[str, str], found: Mapping[str, str], sources: Mapping[str, str]) -> tuple[str, str]:
    """Projection into the raw types, and the reason why a value could not be cast.

    An empty text is a missing value. DuckDB rounds a fraction that is cast to an integer, which would make another key
    or count of it, so a fraction is a misfit.

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
            columns.append(f"{empty_as_null(sources[name], kind)} AS {quoted}")
        else:
            source, cast = sources[name], f"TRY_CAST({sources[name]} AS {kind})"
            columns.append(f"{cast} AS {quoted}")
            lost = f"{cast} IS NULL" + (f" OR TRY_CAST({source} AS DOUBLE) <> {cast}" if kind == WHOLE else "")
            text = quote_literal(f"{name} is not of type {kind}")
            misfits.append(f"CASE WHEN {source} IS NOT NULL AND ({lost}) THEN {text} END")
    reason = f"nullif(concat_ws('; ', {', '.join(misfits)}), '')" if misfits else "CAST(NULL AS VARCHAR)"
    return ", ".join(columns), reason


def empty_as_null(source: str, kind: str) -> str:
    """A column as it came, an empty text as a missing value."""
    return f"nullif({source}, '')" if kind == "VARCHAR" else source


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


def _absent(rule: RowRule, kind: str) -> str:
    """Aggregate that is true only where no row breaks the rule; empty where there is none that is cheaper."""
    name = f"typed.{quote_identifier(rule.column)}"
    if rule.when is not None:
        return ""
    if rule.kind == "not_null":
        return f"count({name}) = count(*)"
    if rule.kind == "range":
        sides = [f"min({name}) >= CAST({rule.low!r} AS {kind})"] * (rule.low is not None)
        sides += [f"max({name}) <= CAST({rule.high!r} AS {kind})"] * (rule.high is not None)
        return " AND ".join(sides)
    if rule.kind == "not_future":
        return f"NOT bool_or({name} > typed.{quote_identifier(KNOWN_AT)})"
    return ""
