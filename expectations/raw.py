"""Suites of the raw layer: what ingestion promises, asked again of what really arrived."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import timedelta

from expectations.checks import (
    NOW,
    ROW_COUNT,
    ROWS,
    Check,
    Profile,
    TableSuite,
    aggregate,
    all_of,
    between,
    columns_exist,
    in_set,
    lake,
    not_null,
    number,
    of_type,
    rows_satisfy,
)
from expectations.groups import site_start
from expectations.settings import FeedSettings, QuarantineSettings, Settings
from pipelines.control_plan.derive import RowRule, feed_rules, raw_schema
from pipelines.control_plan.feeds import EVENT_AT, KNOWN_AT, Feed
from pipelines.control_plan.site import Site
from pipelines.lake.sql import columns_sql, quote_identifier, quote_literal

CONTINUOUS_H = 48.0
_QUARANTINE, _OFFSETS = "ops.quarantine", "ops.ingest_offset"
# The first day and the newest may have come in part. A day between them that was lost has no row: it is counted by the
# calendar, and says nothing of what is usual.
_DAYS = f"""
    WITH counted AS (SELECT production_day, count(*) AS found_count FROM {ROWS} GROUP BY ALL),
    calendar AS (
        SELECT unnest(generate_series(min(production_day), max(production_day), INTERVAL 1 DAY))::DATE AS production_day
        FROM counted
    )
    SELECT production_day, coalesce(found_count, 0) AS row_count, median(found_count) OVER () AS usual_count,
        production_day IN (min(production_day) OVER (), max(production_day) OVER ()) AS is_edge
    FROM calendar LEFT JOIN counted USING (production_day)
"""


def raw_suite(site: Site, feed: Feed, settings: Settings) -> TableSuite:
    """Checks of one raw table: columns and types, presence, ranges, codes, clocks, volume and freshness."""
    types = {**raw_schema(site, feed), "production_day": "DATE"}
    silence = settings.of_feed(feed.name)
    checks = [
        columns_exist(list(types)),
        *(of_type(column, kind) for column, kind in types.items()),
        not_null("production_day"),
        *rule_checks(feed_rules(site, feed)),
        *_volume(feed, silence),
        *_freshness(site, silence),
    ]
    profiles = [_set_aside(feed)]
    checks += [_mostly_fit(settings.quarantine), _no_file_lost()]
    if feed.shape != "series":  # a series has no content beside its one value, and too many rows to group each by key
        profiles.append(_disputes(site, feed))
        checks.append(_undisputed(feed))
    if silence.least_daily_share is not None:
        profiles.append(Profile("days", _DAYS, ("production_day",)))
        checks.append(_daily(silence.least_daily_share))
    return TableSuite("raw", feed.name, feed.domain, tuple(checks), types, tuple(profiles))


def rule_checks(rules: Iterable[RowRule]) -> Iterator[Check]:
    """Rules that ingestion keeps by quarantine, as checks; types are asked of the table, finite numbers of ranges."""
    for rule in rules:
        if rule.kind == "not_null":
            yield not_null(rule.column)
        elif rule.kind == "range":
            yield _range(rule)
        elif rule.kind == "allowed":
            yield _allowed(rule)
        elif rule.kind == "not_future":
            yield _not_future(rule)


def _range(rule: RowRule) -> Check:
    if rule.when is None:
        return between(rule.column, rule.low, rule.high)
    value = _in_plans_unit(rule)
    bounds = [f"{value} >= {number(rule.low)}"] if rule.low is not None else []
    bounds += [f"{value} <= {number(rule.high)}"] if rule.high is not None else []
    uses = ["unit_code"] if rule.units else []
    return _conditional(rule, " AND ".join(bounds), f"{rule.code or rule.column} is physically possible", uses)


def _in_plans_unit(rule: RowRule) -> str:
    """The rule's column, converted by the row's unit_code where it may come in several; NULL in a unit that none is."""
    name = quote_identifier(rule.column)
    if not rule.units:
        return name
    factors = " ".join(f"WHEN {quote_literal(unit)} THEN {number(factor)}" for unit, factor in rule.units)
    return f"{name} * CASE unit_code {factors} END"


def _allowed(rule: RowRule) -> Check:
    if rule.when is None:
        return in_set(rule.column, rule.allowed)
    inside = f"{quote_identifier(rule.column)} IN ({all_of(rule.allowed)})"
    return _conditional(rule, inside, f"{rule.code or rule.column} comes in {', '.join(rule.allowed)}")


def _conditional(rule: RowRule, expression: str, title: str, uses: Iterable[str] = ()) -> Check:
    if rule.when is None:
        return rows_satisfy(expression, title=title, column=rule.column)
    column, value = rule.when
    unconcerned = f"{quote_identifier(column)} <> {quote_literal(value)}"
    return rows_satisfy(f"{unconcerned} OR ({expression})", title=title, column=rule.column, uses=[column, *uses])


def _not_future(rule: RowRule) -> Check:
    expression = f"{EVENT_AT} <= {KNOWN_AT} + to_seconds({number(rule.high or 0.0)})"
    return rows_satisfy(expression, title="nothing is known before it happened", column=EVENT_AT, uses=[KNOWN_AT])


def _volume(feed: Feed, silence: FeedSettings) -> Iterator[Check]:
    stale_h = silence.stale_after_h
    if stale_h is not None and stale_h <= CONTINUOUS_H and silence.first_after_h is not None:
        yield Check(ROW_COUNT, {"min_value": 1}, f"{feed.name} has rows")


def _daily(least_share: float) -> Check:
    return rows_satisfy(
        f"is_edge OR row_count >= {number(least_share)} * usual_count",
        title=f"every day has at least {least_share:.0%} of the rows of a usual day",
        column="production_day",
        on="days",
    )


def _freshness(site: Site, silence: FeedSettings) -> Iterator[Check]:
    if silence.stale_after_h is None:
        return
    age_h = f"date_diff('second', max({KNOWN_AT}), {NOW}) / 3600.0"
    expression = f"coalesce({age_h}, 0.0)"
    if silence.first_after_h is not None:
        first_until = site_start(site) + timedelta(hours=silence.first_after_h)
        may_be_empty = f"{NOW} <= TIMESTAMP {quote_literal(first_until.isoformat(sep=' '))}"
        expression = f"CASE WHEN {may_be_empty} THEN {expression} ELSE {age_h} END"
    yield aggregate(
        expression,
        None,
        silence.stale_after_h,
        title=f"the newest record is at most {silence.stale_after_h:g} h old",
        column=KNOWN_AT,
        uses=[KNOWN_AT],
    )


def _disputes(site: Site, feed: Feed) -> Profile:
    """Keys that came with several contents known at one moment: none of them is the newest, staging would take any.

    A record known later settles it, so that a plant mends it as it mends everything: by a correction.
    """
    keys, relation = columns_sql(feed.keys), lake(f"raw.{feed.name}")
    content = f"hash({columns_sql(raw_schema(site, feed))})"
    same = columns_sql(["production_day", *feed.keys, KNOWN_AT])
    # Distinct contents are counted of the few disputed keys alone: of all keys it takes twice the memory.
    sql = f"""
        WITH dispute AS MATERIALIZED (
            SELECT {same}, count(DISTINCT {content}) AS content_count
            FROM {ROWS} SEMI JOIN (
                SELECT {same} FROM {ROWS} GROUP BY ALL HAVING min({content}) < max({content})
            ) USING ({same})
            GROUP BY ALL
        )
        SELECT dispute.*, coalesce(bool_or(later.{KNOWN_AT} > dispute.{KNOWN_AT}), false) AS is_settled
        FROM dispute LEFT JOIN (
            SELECT {columns_sql([*feed.keys, KNOWN_AT])} FROM {relation} SEMI JOIN dispute USING ({keys})
        ) AS later USING ({keys})
        GROUP BY ALL
    """
    return Profile("disputes", sql, tuple(dict.fromkeys([*raw_schema(site, feed), "production_day"])), is_by_day=True)


def _undisputed(feed: Feed) -> Check:
    title = f"one {', '.join(feed.keys)} and one {KNOWN_AT} have one content"
    return rows_satisfy("is_settled", title=title, column=feed.keys[0], on="disputes")


def _set_aside(feed: Feed) -> Profile:
    """What of a feed's newest batch still lies in quarantine, and why most of it does; replayed rows are in."""
    own = f"feed = {quote_literal(feed.name)}"
    newest = f"(SELECT max(batch_id) FROM {lake(_OFFSETS)} WHERE {own} AND status <> 'replayed')"
    sql = f"""
        SELECT aside.*, open_count / (record_count + taken_count)::DOUBLE AS open_share
        FROM (
            SELECT feed, batch_id, count_if(status = 'open') AS open_count, count(*) AS record_count,
                count_if(status = 'open' AND raw_format = 'file') AS file_count, mode(reason) AS usual_reason
            FROM {lake(_QUARANTINE)} WHERE {own} AND batch_id = {newest} GROUP BY ALL
        ) AS aside,
        (SELECT coalesce(sum(rows_in), 0) AS taken_count FROM {lake(_OFFSETS)} WHERE {own} AND batch_id = {newest})
    """
    return Profile("set_aside", sql, ())


def _mostly_fit(limits: QuarantineSettings) -> Check:
    return rows_satisfy(
        f"open_count < {limits.least_count} OR open_share <= {number(limits.most_share)}",
        title=f"at most {limits.most_share:.0%} of the rows of the newest batch are in quarantine",
        needs=[_QUARANTINE, _OFFSETS],
        on="set_aside",
    )


def _no_file_lost() -> Check:
    """A file that could not be read may hold a whole day, which no share of rows tells."""
    return rows_satisfy(
        "file_count = 0",
        title="no file of the newest batch is in quarantine",
        needs=[_QUARANTINE, _OFFSETS],
        on="set_aside",
    )
