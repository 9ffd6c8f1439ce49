"""Row rules of the control plan as SQL over typed columns, and the clock guards that every feed has."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from duckdb import DuckDBPyConnection

from pipelines.control_plan.derive import RowRule, feed_rules, raw_schema
from pipelines.control_plan.feeds import EVENT_AT, KNOWN_AT
from pipelines.control_plan.site import Site
from pipelines.lake.sql import quote_identifier, quote_literal

POINTS = "cw_control_point"
_EARLIEST = "2000-01-01"
_LEAD_DAYS = 366
# A condition that is true for a row that does not fit, and what is wrong with such a row.
Violation = tuple[str, str]


class Rules:
    """What a feed's rows must keep to enter the lake.

    Args:
        con: connection that will run the SQL; gets a table of control points for feeds that name them.
        site: the site.
        feed: name of the feed.
        newest: latest moment believed of any clock so far (wall or plant); a year beyond it is a broken clock.
    """

    def __init__(self, con: DuckDBPyConnection, site: Site, feed: str, newest: datetime) -> None:
        self.feed = feed
        self.schema = raw_schema(site, feed)
        self._is_series = site.feeds[feed].shape == "series"
        self._violations = self._of_plan(site) + self._of_clocks(newest)
        if self._is_series:
            self._add_points(con, site)

    def _of_plan(self, site: Site) -> list[Violation]:
        rules = [rule for rule in feed_rules(site, self.feed) if rule.column in self.schema]
        return [(_broken(rule, self.schema[rule.column]), rule.reason) for rule in rules if rule.kind != "type"]

    def _of_clocks(self, newest: datetime) -> list[Violation]:
        found: list[Violation] = []
        for name in (EVENT_AT, KNOWN_AT):
            column = quote_identifier(name)
            latest = newest + timedelta(days=_LEAD_DAYS)
            ahead = f"{column} > TIMESTAMP '{latest:%Y-%m-%d %H:%M:%S}'"
            found.append((ahead, f"{name} is more than a year ahead of all clocks: a clock in the future"))
            found.append(
                (f"{column} < TIMESTAMP '{_EARLIEST}'", f"{name} is before {_EARLIEST}: a clock that was reset")
            )
        return found

    def _add_points(self, con: DuckDBPyConnection, site: Site) -> None:
        """Ranges of the control points, once per connection; FLOAT as the values are, so that limits compare equal."""
        points = site.plan.control_points()
        con.register("cw_points_arrow", points)
        con.execute(
            f"CREATE OR REPLACE TEMP TABLE {POINTS} AS SELECT control_point_no AS _point_no, "
            "CAST(physical_min AS FLOAT) AS _low, CAST(physical_max AS FLOAT) AS _high FROM cw_points_arrow"
        )
        con.unregister("cw_points_arrow")
        self._violations.append(("_point_no IS NULL", "unknown control_point_no"))
        outside = "value < _low OR value > _high"
        self._violations.append((outside, "value is outside the physical range of its control point"))

    def joined(self, relation: str) -> str:
        """The relation with what the conditions need beside its own columns."""
        return f"{relation} LEFT JOIN {POINTS} ON control_point_no = _point_no" if self._is_series else relation

    @property
    def is_bad(self) -> str:
        """Condition that is true, never NULL, for a row that does not fit."""
        return f"(({') OR ('.join(condition for condition, _ in self._violations)})) IS TRUE"

    @property
    def reason(self) -> str:
        """Everything wrong with a row that does not fit, as text."""
        arms = ", ".join(
            f"CASE WHEN {condition} THEN {quote_literal(text)} END" for condition, text in self._violations
        )
        return f"concat_ws('; ', {arms})"


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
    name = quote_identifier(rule.column)
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
        broken = f"{name} > {quote_identifier(KNOWN_AT)} + INTERVAL ({int(rule.high or 0)}) SECOND"
    if rule.when is not None:
        column, wanted = rule.when
        return f"{quote_identifier(column)} = {quote_literal(wanted)} AND ({broken})"
    return broken
