"""Row rules of the control plan as SQL: one typed projection, one reason per row."""

from __future__ import annotations

from pipelines.control_plan.derive import RowRule, feed_rules, raw_schema
from pipelines.control_plan.feeds import KNOWN_AT
from pipelines.control_plan.site import Site
from pipelines.lake.sql import quote_identifier, quote_literal


def typed(column: str, duckdb_type: str) -> str:
    """Expression of a source column as its raw type; NULL where the text is no such value."""
    name = quote_identifier(column)
    return name if duckdb_type == "VARCHAR" else f"TRY_CAST({name} AS {duckdb_type})"


def typed_columns(site: Site, feed: str) -> str:
    """Projection of a feed's raw columns."""
    return ", ".join(
        f"{typed(name, kind)} AS {quote_identifier(name)}" for name, kind in raw_schema(site, feed).items()
    )


def reason_sql(site: Site, feed: str) -> str:
    """Expression that is '' for a row that fits and else the first reason why it doesn't."""
    kinds = raw_schema(site, feed)
    arms = [
        f"WHEN {_broken(rule, kinds)} THEN {quote_literal(rule.reason)}"
        for rule in feed_rules(site, feed)
        if rule.column in kinds
    ]
    return f"CASE {' '.join(arms)} ELSE '' END" if arms else "''"


def _broken(rule: RowRule, kinds: dict[str, str]) -> str:
    name = quote_identifier(rule.column)
    value = typed(rule.column, kinds[rule.column])
    if rule.kind == "not_null":
        return f"{name} IS NULL"
    if rule.kind == "type":
        return "false" if kinds[rule.column] == "VARCHAR" else f"({name} IS NOT NULL AND {value} IS NULL)"
    if rule.kind == "finite":
        broken = f"NOT isfinite({value})"
    elif rule.kind == "range":
        sides = [f"{value} < {rule.low}"] * (rule.low is not None)
        sides += [f"{value} > {rule.high}"] * (rule.high is not None)
        broken = " OR ".join(sides) or "false"
    elif rule.kind == "allowed":
        broken = f"{name} NOT IN ({', '.join(quote_literal(each) for each in rule.allowed) or 'NULL'})"
    else:
        known = typed(KNOWN_AT, "TIMESTAMP")
        broken = f"{value} > {known} + INTERVAL {int(rule.high or 0)} SECOND"
    if rule.when is not None:
        column, wanted = rule.when
        broken = f"{quote_identifier(column)} = {quote_literal(wanted)} AND ({broken})"
    return f"coalesce({broken}, false)"


def production_day_sql(site: Site) -> str:
    """Expression of the local production day of `event_at` (UTC): local date of (time - start of the day)."""
    local = f"(event_at AT TIME ZONE 'UTC') AT TIME ZONE {quote_literal(site.time_zone)}"
    start_s = site.day_starts_at.hour * 3600 + site.day_starts_at.minute * 60
    return f"CAST({local} - INTERVAL {start_s} SECOND AS DATE)"
