"""The SQL of the loss tree, from states to the figures of every level; `oee.py` says what it means.

Columns that a table of states may call as it likes are read under names that begin with an underscore; those of the
levels keep their own.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from models.indicator.levels import Level, level_name, listed, of_level, same
from models.indicator.oee_spec import Oee
from pipelines.lake.sql import quote_identifier, quote_literal

ELEMENTS = ("planned_stop", "setup", "delay", "down", "unmapped", "production")
_TIMES = ("calendar_s", "not_recorded_s", *(f"{name}_s" for name in ELEMENTS))
_ADDED = (
    *_TIMES,
    "ideal_s",
    "capped_ideal_s",
    "fully_productive_s",
    "produced_count",
    "good_count",
    "repair_s",
)
_BUSY = "setup_s + delay_s + down_s + unmapped_s + production_s"
_RATIOS = """
    production_s - capped_ideal_s AS speed_loss_s,
    capped_ideal_s - fully_productive_s AS quality_loss_s,
    production_s / nullif(planned_busy_s, 0) AS availability,
    capped_ideal_s / nullif(production_s, 0) AS effectiveness,
    ideal_s / nullif(production_s, 0) AS effectiveness_uncapped,
    fully_productive_s / nullif(capped_ideal_s, 0) AS quality,
    fully_productive_s / nullif(planned_busy_s, 0) AS oee,
    (production_s + setup_s) / nullif(planned_busy_s, 0) * fully_productive_s / nullif(production_s, 0) AS nee,
    fully_productive_s / nullif(calendar_s, 0) AS teep,
    production_s / 3600 / nullif(failure_count, 0) AS mtbf_h,
    repair_s / 3600 / nullif(failure_count, 0) AS mttr_h
"""
# Losses that follow from the times of a machine and period, beside the states that were no production.
_WORKED_OUT = {
    "not_recorded": "not_recorded_s",
    "speed": "production_s - capped_ideal_s",
    "quality": "capped_ideal_s - fully_productive_s",
    "fully_productive": "fully_productive_s",
}


@dataclass(frozen=True)
class Columns:
    """Columns of the levels: the machine, what tells of it (its step, its line), and what names the period."""

    machine: str
    of_machine: tuple[str, ...]
    period: tuple[str, ...]

    @classmethod
    def of(cls, oee: Oee, levels: Iterable[Level]) -> Columns:
        """Of a spec: what is neither the machine nor of its periods tells of the machine."""
        named = dict.fromkeys(name for level in levels for name in level)
        own = tuple(name for name in named if name != oee.machine and name not in oee.period)
        return cls(oee.machine, own, tuple(oee.period))

    @property
    def all(self) -> tuple[str, ...]:
        """Each once."""
        return (self.machine, *self.of_machine, *self.period)


def pieces(relation: str, oee: Oee, columns: Columns) -> str:
    """A row per state with its element, the name of its loss, and whether a failure begins with it; one parameter, now.

    `cw_mapping` holds the named states: a reason that is named wins over its state.
    """
    q = quote_identifier
    reason = "CAST(NULL AS VARCHAR)" if oee.reason is None else f"CAST({q(oee.reason)} AS VARCHAR)"
    counted = "" if oee.only is None else f"AND {q(oee.only)}"
    return f"""
        WITH read AS (
            SELECT {listed(columns.all)}, {q(oee.begin)} AS _from, least({q(oee.end)}, $now) AS _to,
                {q(oee.period_from)} AS _period_from, least({q(oee.period_to)}, $now) AS _period_to,
                {q(oee.period_to)} > $now AS _is_under_way,
                CAST({q(oee.state)} AS VARCHAR) AS _state, {reason} AS _reason,
                coalesce({q(oee.produced)}, 0) AS _produced, coalesce({q(oee.good)}, 0) AS _good,
                {q(oee.ideal_rate_per_h)} AS _rate_per_h
            FROM {relation} WHERE {q(oee.begin)} < $now {counted}),
        mapped AS (
            SELECT read.*, epoch_us(_to) - epoch_us(_from) AS _us,
                coalesce(exact.element, plain.element, 'unmapped') AS element,
                coalesce(exact.is_failure, false) OR coalesce(plain.is_failure, false) AS _is_failure
            FROM read
            LEFT JOIN cw_mapping AS exact ON _state = exact.state AND _reason = exact.reason
            LEFT JOIN cw_mapping AS plain ON _state = plain.state AND plain.reason IS NULL)
        SELECT *,
            CASE WHEN element = 'unmapped' THEN concat_ws('/', _state, _reason) ELSE coalesce(_reason, _state) END
                AS loss,
            -- A failure that is cut, by the end of a shift or into several states, is one.
            _is_failure AND NOT coalesce(lag(_is_failure) OVER past AND lag(_to) OVER past >= _from, false) AS _fails
        FROM mapped
        WINDOW past AS (PARTITION BY {q(columns.machine)} ORDER BY _from, _to)
    """


def leaves(columns: Columns) -> str:
    """The times of each machine in each period since its first one, in s; also where it recorded nothing."""
    q, machine = quote_identifier, quote_identifier(columns.machine)
    newest = "".join(f", arg_max({q(name)}, _from) AS {q(name)}" for name in columns.of_machine)
    leaf = (columns.machine, *columns.period)
    elements = "".join(f", sum(_us) FILTER (element = '{name}') AS {name}_us" for name in ELEMENTS)
    seconds = "".join(f", coalesce({name}_us, 0) / 1e6 AS {name}_s" for name in ELEMENTS)
    return f"""
        WITH machine AS (
            SELECT {machine}, min(_period_from) AS _since {newest} FROM cw_piece GROUP BY {machine}),
        stretch AS (SELECT DISTINCT {listed(columns.period)}, _period_from, _period_to, _is_under_way FROM cw_piece),
        calendar AS (
            SELECT {listed(columns.all)}, max(_period_to) AS until_at, bool_or(_is_under_way) AS is_under_way,
                sum(epoch_us(_period_to) - epoch_us(_period_from)) AS calendar_us
            FROM machine JOIN stretch ON _period_from >= _since GROUP BY ALL),
        spent AS (
            SELECT {listed(leaf)}, sum(_us) AS recorded_us {elements}, sum(_us) FILTER (_is_failure) AS repair_us,
                sum(_produced / _rate_per_h) FILTER (_produced > 0) * 3600 AS ideal_s,
                sum(_produced) AS produced, sum(_good) AS good, count(*) FILTER (_fails) AS failures
            FROM cw_piece GROUP BY ALL),
        timed AS (
            SELECT {listed(columns.all, "calendar.")}, until_at, is_under_way, calendar_us / 1e6 AS calendar_s,
                greatest(calendar_us - coalesce(recorded_us, 0), 0) / 1e6 AS not_recorded_s {seconds},
                coalesce(repair_us, 0) / 1e6 AS repair_s, coalesce(ideal_s, 0) AS ideal_s,
                coalesce(produced, 0) AS produced_count, coalesce(good, 0) AS good_count,
                coalesce(failures, 0) AS failure_count
            FROM calendar LEFT JOIN spent ON {same(leaf, "calendar", "spent")})
        SELECT *, least(ideal_s, production_s) AS capped_ideal_s,
            coalesce(least(ideal_s, production_s) * good_count / nullif(produced_count, 0), 0) AS fully_productive_s
        FROM timed
    """


def leaf_losses(columns: Columns) -> str:
    """Where the time of each machine and period went: states that were no production, and what production lost."""
    leaf = (columns.machine, *columns.period)
    worked_out = "".join(
        f" UNION ALL SELECT {listed(leaf)}, '{name}', '{name}', {time_s} FROM cw_leaf"
        for name, time_s in _WORKED_OUT.items()
    )
    return f"""
        WITH lost AS (
            SELECT {listed(leaf)}, element, loss, sum(_us) / 1e6 AS lost_s
            FROM cw_piece WHERE element <> 'production' GROUP BY ALL {worked_out})
        SELECT {listed(columns.all, "cw_leaf.")}, lost.element, lost.loss, lost.lost_s
        FROM lost JOIN cw_leaf ON {same(leaf, "cw_leaf", "lost")}
    """


def figures(levels: Iterable[Level]) -> str:
    """The figures of every level, from the sums of its times."""
    sums = ", ".join(f"sum({name}) AS {name}" for name in _ADDED)
    what = f"""
        max(until_at) AS until_at, bool_or(is_under_way) AS is_under_way, {sums},
        sum(failure_count)::BIGINT AS failure_count"""
    rolled = " UNION ALL BY NAME ".join(of_level(level, what, "cw_leaf") for level in levels)
    return f"SELECT *, {_RATIOS} FROM (SELECT *, {_BUSY} AS planned_busy_s FROM ({rolled}))"


def losses(levels: Iterable[Level]) -> str:
    """The losses of every level."""
    return " UNION ALL BY NAME ".join(
        of_level(level, "element, loss, sum(lost_s) AS lost_s", "cw_leaf_loss") for level in levels
    )


def answers(keys: Level) -> str:
    """The figures of the keys' level as answers; two parameters: the OEE below which one is flagged, and `top_k`."""
    return f"""
        WITH named AS (
            SELECT {listed(keys)}, element, loss, lost_s FROM cw_loss
            WHERE level = {quote_literal(level_name(keys))} AND lost_s > 0
                AND element NOT IN ('fully_productive', 'planned_stop', 'not_recorded')),
        largest AS (
            SELECT {listed(keys)}, arg_max(loss, (lost_s, loss)) AS class,
                list((element, loss, lost_s) ORDER BY lost_s DESC, loss) AS lost
            FROM named GROUP BY ALL)
        SELECT {listed(keys, "cw_figure.")}, until_at AS event_at, oee AS value,
            CASE WHEN NOT is_under_way THEN coalesce(class, 'none') END AS class,
            coalesce(oee < $below, false) AND NOT is_under_way AS is_flagged,
            to_json([{{
                'feature': concat_ws('/', each[1], each[2]), 'value': round(each[3] / 3600, 4),
                'contribution': -round(each[3] / planned_busy_s, 4)
            }} FOR each IN lost[:$top_k]])::VARCHAR AS reasons
        FROM cw_figure LEFT JOIN largest ON {same(keys, "cw_figure", "largest")}
        WHERE level = {quote_literal(level_name(keys))} AND planned_busy_s > 0
    """
