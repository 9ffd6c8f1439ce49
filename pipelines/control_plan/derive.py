"""The one place where schemas, rules, ranges, chart limits, set-point moves and visibility follow from the plan."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from math import inf, sqrt
from typing import Literal

from pipelines.control_plan.errors import CellworksError
from pipelines.control_plan.feeds import DUCKDB_TYPES, EVENT_AT, KNOWN_AT, VARIANT_COLUMN, Feed, FeedColumn
from pipelines.control_plan.plan import ELECTRODES, Characteristic, ControlPlan
from pipelines.control_plan.site import Site
from pipelines.control_plan.units import units_given_for

# Whose values an entity inherits through genealogy, itself included.
LINEAGE: dict[str, tuple[str, ...]] = {
    "material_lot": ("material_lot",),
    "slurry_batch": ("material_lot", "slurry_batch"),
    "mother_roll": ("material_lot", "slurry_batch", "mother_roll"),
    "daughter_roll": ("material_lot", "slurry_batch", "mother_roll", "daughter_roll"),
    "cell": ("material_lot", "slurry_batch", "mother_roll", "daughter_roll", "cell"),
    "module": ("module",),
    "container": ("module", "container"),
    "machine_hour": ("machine_hour",),
}
_MEAN = re.compile(r"_mean_\d+h$")
RuleKind = Literal["not_null", "type", "finite", "range", "allowed", "not_future"]


@dataclass(frozen=True)
class RowRule:
    """A rule that a row must keep to enter the lake; else it is quarantined with `reason`.

    A value that is missing breaks only `not_null`: a characteristic that wasn't measured is NULL.

    Attributes:
        kind: `not_null`, `type` (castable to duckdb_type), `finite`, `range` (low <= value <= high),
            `allowed` (value in allowed) or `not_future` (value <= known_at + high seconds).
        column: column that the rule is about.
        when: (column, value) that the row must have for the rule to apply, None for every row.
        code: characteristic that it comes from; empty for other columns.
        units: of a range in a long feed, (unit_code, factor): the value times the factor must lie in it.
    """

    kind: RuleKind
    column: str
    reason: str
    duckdb_type: str = "VARCHAR"
    low: float | None = None
    high: float | None = None
    allowed: tuple[str, ...] = ()
    when: tuple[str, str] | None = None
    code: str = ""
    units: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class ColumnRange:
    """What a column's values should be: physical range (hard) and specification (most values).

    Attributes:
        when: (column, value) that a row must have for the range to apply, None for every row.
    """

    column: str
    low: float | None
    high: float | None
    lsl: float | None = None
    usl: float | None = None
    unit: str = ""
    when: tuple[str, str] | None = None
    code: str = ""


@dataclass(frozen=True)
class ChartLimits:
    """Limits of a control chart before phase I data exist.

    Attributes:
        kind: `i_mr` for single values, `xbar` for means of sample_size values.
        sigma: assumed standard deviation of a single value, within subgroups.
        lower: None when the characteristic has only an upper specification limit; likewise upper.
        mr_upper: upper limit of the moving range of single values.
    """

    kind: Literal["i_mr", "xbar"]
    centre: float
    lower: float | None
    upper: float | None
    sigma: float
    mr_upper: float


@dataclass(frozen=True)
class SetpointMove:
    """Allowed moves of a set-point: bounds, largest single move and largest change per hour, all in its unit."""

    code: str
    low: float
    high: float
    max_step: float
    max_rate_per_h: float


def feed_of(site: Site, feed: str | Feed) -> Feed:
    """A feed by its name.

    Raises:
        CellworksError: no such feed.
    """
    name = feed if isinstance(feed, str) else feed.name
    if name not in site.feeds:
        raise CellworksError("there is no such feed", expected=", ".join(site.feeds), found=name, mend="see feeds.yaml")
    return site.feeds[name]


def characteristics(site: Site, feed: str | Feed) -> list[Characteristic]:
    """Rows of the plan that a feed carries, in the order of the plan."""
    name = feed_of(site, feed).name
    return [row for row in site.plan.rows if row.feed == name]


def column_of(site: Site, row: Characteristic) -> str:
    """Column of its feed that holds a characteristic: its code, its name where rows say the electrode, or `value`."""
    feed = feed_of(site, row.feed)
    if feed.shape != "wide":
        return "value"
    return row.name if feed.has_variant else row.code


def raw_schema(site: Site, feed: str | Feed) -> dict[str, str]:
    """Columns and DuckDB types of a feed's raw table, in order: its own, event_at, known_at, characteristics."""
    feed = feed_of(site, feed)
    schema = {name: column.duckdb_type for name, column in feed.columns.items()}
    schema |= {EVENT_AT: "TIMESTAMP", KNOWN_AT: "TIMESTAMP"}
    if feed.shape == "wide":
        schema |= {column_of(site, row): DUCKDB_TYPES["number"] for row in characteristics(site, feed)}
    return schema


def feed_rules(site: Site, feed: str | Feed) -> list[RowRule]:
    """Hard row rules of a feed: types, presence, finite numbers, physical ranges, allowed codes, clocks."""
    feed = feed_of(site, feed)
    rules = [rule for name, column in feed.columns.items() for rule in _column_rules(name, column)]
    for name in (EVENT_AT, KNOWN_AT):
        rules += _column_rules(name, FeedColumn(type="timestamp"))
    tolerance_s = site.future_tolerance_s
    late = f"{EVENT_AT} is more than {tolerance_s:g} s after {KNOWN_AT}: a clock in the future"
    rules.append(RowRule("not_future", EVENT_AT, late, "TIMESTAMP", high=tolerance_s))
    rows = characteristics(site, feed)
    if feed.is_long:
        codes = tuple(sorted(row.code for row in rows))
        rules.append(RowRule("allowed", "characteristic_code", "unknown characteristic_code", allowed=codes))
    if feed.shape == "wide":
        for column in dict.fromkeys(column_of(site, row) for row in rows):
            rules += _number_rules(column, "DOUBLE")
    if feed.shape != "series":  # a series names a control point, whose range is joined, not listed
        rules += [_range_rule(site, feed, row) for row in rows]
    return rules + [_unit_rule(row) for row in rows if feed.is_long]


def _column_rules(name: str, column: FeedColumn) -> Iterator[RowRule]:
    if not column.nullable:
        yield RowRule("not_null", name, f"{name} is missing")
    if column.type in {"number", "float"}:
        yield from _number_rules(name, column.duckdb_type)
    elif column.type != "text":
        yield RowRule("type", name, f"{name} is not of type {column.type}", column.duckdb_type)
    if column.min is not None or column.max is not None:
        reason = f"{name} is outside {_span(column.min, column.max, column.unit)}"
        yield RowRule("range", name, reason, column.duckdb_type, low=column.min, high=column.max)
    if column.allowed:
        yield RowRule("allowed", name, f"{name} is none of {', '.join(column.allowed)}", allowed=column.allowed)


def _number_rules(column: str, duckdb_type: str) -> Iterator[RowRule]:
    yield RowRule("type", column, f"{column} is not a number", duckdb_type)
    yield RowRule("finite", column, f"{column} is NaN or infinite", duckdb_type)


def _condition(feed: Feed, row: Characteristic) -> tuple[str, str] | None:
    if feed.is_long:
        return ("characteristic_code", row.code)
    return (VARIANT_COLUMN, row.variant) if feed.has_variant else None


def _range_rule(site: Site, feed: Feed, row: Characteristic) -> RowRule:
    reason = f"{row.code} is outside its physical range {_span(row.physical_min, row.physical_max, row.unit)}"
    low, high = row.physical_min, row.physical_max
    return RowRule(
        "range",
        column_of(site, row),
        reason,
        "DOUBLE",
        low=low,
        high=high,
        when=_condition(feed, row),
        code=row.code,
        units=tuple(units_given_for(row.unit)) if feed.is_long else (),
    )


def _unit_rule(row: Characteristic) -> RowRule:
    when = ("characteristic_code", row.code)
    units = tuple(unit for unit, _ in units_given_for(row.unit))
    reason = f"{row.code} is not given in {' or '.join(units)}"
    return RowRule("allowed", "unit_code", reason, allowed=units, when=when, code=row.code)


def _span(low: float | None, high: float | None, unit: str) -> str:
    return f"{-inf if low is None else low:g} to {inf if high is None else high:g} {unit}".rstrip()


def expectation_ranges(site: Site, table_columns: Collection[str], *, feed: str = "") -> list[ColumnRange]:
    """Ranges of the columns of any table, found by name.

    A column named like a code gets one range. One named like an electrode's characteristic gets a range for each
    electrode when the table has electrode_code. `value` gets one per characteristic of `feed` in a long table.

    Args:
        site: the site.
        table_columns: names of the table's columns; those that the plan doesn't know are passed over.
        feed: feed that the table holds, when it holds one: its own columns' ranges are included.
    """
    present = set(table_columns)
    found = [_own_range(name, column) for name, column in _feed_columns(site, feed) if name in present]
    ranges = [each for each in found if each is not None]
    if {"characteristic_code", "value"} <= present:
        of_feed = characteristics(site, feed) if feed else []
        return ranges + [_row_range(row, "value", ("characteristic_code", row.code)) for row in of_feed]
    for row in site.plan.rows:
        if row.code in present:
            ranges.append(_row_range(row, row.code, None))
        elif VARIANT_COLUMN in present and row.variant in ELECTRODES and row.name in present:
            ranges.append(_row_range(row, row.name, (VARIANT_COLUMN, row.variant)))
    return ranges


def _feed_columns(site: Site, feed: str) -> list[tuple[str, FeedColumn]]:
    return list(feed_of(site, feed).columns.items()) if feed else []


def _own_range(name: str, column: FeedColumn) -> ColumnRange | None:
    if column.min is None and column.max is None:
        return None
    return ColumnRange(name, column.min, column.max, unit=column.unit)


def _row_range(row: Characteristic, column: str, when: tuple[str, str] | None) -> ColumnRange:
    return ColumnRange(column, row.physical_min, row.physical_max, row.lsl, row.usl, row.unit, when, row.code)


# Cpk that the plan asks for by class: 1.67 where safety or function hang on it, 1.33 else (domain 1, AIAG SPC).
CPK_BY_CLASS = {"CC": 1.67, "SC": 1.33, "": 1.33}
D2_OF_TWO, D4_OF_TWO = 1.128, 3.267  # AIAG constants of ranges of two values


def chart_limits(row: Characteristic) -> ChartLimits | None:
    """Limits to chart with until phase I data exist: the spread that would just reach the Cpk asked for.

    sigma = distance from the centre to the nearer specification limit / (3 Cpk). Limits are centre +- 3 sigma
    (I chart) or centre +- 3 sigma / sqrt(n) (x-bar), cut at the physical range.

    Returns:
        None when the row has no specification limit, or only one and no nominal to measure from.
    """
    centre = row.nominal
    if centre is None and row.lsl is not None and row.usl is not None:
        centre = (row.lsl + row.usl) / 2
    if centre is None:
        return None
    room = [abs(limit - centre) for limit in (row.lsl, row.usl) if limit is not None and limit != centre]
    if not room:
        return None
    sigma = min(room) / (3 * CPK_BY_CLASS[row.special_class])
    reach = 3 * sigma / sqrt(row.sample_size)
    return ChartLimits(
        kind="i_mr" if row.sample_size == 1 else "xbar",
        centre=centre,
        lower=max(centre - reach, row.physical_min) if row.lsl is not None else None,
        upper=min(centre + reach, row.physical_max) if row.usl is not None else None,
        sigma=sigma,
        mr_upper=D4_OF_TWO * D2_OF_TWO * sigma,
    )


def setpoint_moves(row: Characteristic) -> SetpointMove | None:
    """Moves that advice may propose: inside the specification, by steps and per hour; None for a measurement."""
    if row.move_max is None or row.move_rate_per_h is None or row.lsl is None or row.usl is None:
        return None
    return SetpointMove(row.code, row.lsl, row.usl, row.move_max, row.move_rate_per_h)


def columns_known_at(site: Site, entity: str, step: str) -> list[str]:
    """Codes of the characteristics that may be known when an entity enters a step.

    They belong to the entity or what it was made from, and to steps before this one. Some are measured by then and
    known only later (delay_s): whoever reads values must compare known_at with the moment of entry as well.

    Args:
        site: the site.
        entity: such as `cell`; the machine_hour's own columns don't depend on the step.
        step: code of the step that is entered.

    Raises:
        CellworksError: unknown entity or step.
    """
    if entity not in LINEAGE:
        raise CellworksError("unknown entity", expected=", ".join(LINEAGE), found=entity)
    if step not in site.plan.steps_by_code:
        raise CellworksError("unknown step", expected=", ".join(site.plan.steps_by_code), found=step)
    order = {each.code: each.order for each in site.plan.steps}
    if entity != "machine_hour" and site.plan.steps_by_code[step].is_facility:
        raise CellworksError("nothing enters a facility step", expected="a step of the chain", found=step)
    before = inf if entity == "machine_hour" else order[step]
    return [row.code for row in site.plan.rows if row.entity in LINEAGE[entity] and order[row.step] < before]


def monotone_sign(row: Characteristic, target: str) -> Literal[-1, 0, 1]:
    """Sign that the plan knows of a characteristic's effect on a target, all else equal; 0 when it knows none."""
    return next((effect.sign for effect in row.effects if effect.target == target), 0)


def column_sign(plan: ControlPlan, column: str, target: str) -> Literal[-1, 0, 1]:
    """Sign that the plan knows of a column: a mean over hours (`<code>_mean_6h`) has that of its characteristic.

    A slope has none: that a high value does harm says nothing of a rising one.
    """
    row = plan.by_code.get(column) or plan.by_code.get(_MEAN.sub("", column))
    return 0 if row is None else monotone_sign(row, target)
