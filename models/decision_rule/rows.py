"""Rows of a decision rule as Arrow, in their order, and what a rule decides of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from models.context import ModelContext
from models.decision_rule.spec import DecisionSpec
from models.features.frame import check_keys
from models.features.select import unknown_at_step
from models.features.source import open_tables
from pipelines.control_plan.errors import CellworksError
from pipelines.lake.sql import quote_identifier

_KEY, _TIME = "__key_", "__time"


@dataclass(frozen=True)
class Rows:
    """Rows in the order of time and keys.

    Attributes:
        table: the rule's columns under their own names, numbers as float64 and the others as text.
        keys: key columns by name.
        time: datetime64[us] of each; None for a table without time.
    """

    table: pa.Table
    keys: dict[str, pa.ChunkedArray]
    time: npt.NDArray[np.datetime64] | None


@dataclass(frozen=True)
class Decisions:
    """What a rule says of each row.

    Attributes:
        classes: the decision as text; null where nothing can be decided yet.
        is_flagged: whether it calls for the action.
        value: how far it went, the higher the worse; null where that cannot be said.
        reasons: JSON list of feature, value and limit.
        further: what is no answer for a row, by the end of its table's name.
    """

    classes: pa.Array
    is_flagged: npt.NDArray[np.bool_]
    value: pa.Array
    reasons: pa.Array
    further: Mapping[str, pa.Table] = field(default_factory=dict)

    @classmethod
    def of(cls, table: pa.Table) -> Decisions:
        """From a query's columns `class`, `is_flagged` (null: no), `value` and `reasons`."""
        flagged = table.column("is_flagged").to_numpy(zero_copy_only=False)
        return cls(
            table.column("class").combine_chunks(),
            np.equal(flagged, True),
            table.column("value").combine_chunks(),
            table.column("reasons").combine_chunks(),
        )


def read_rows(spec: DecisionSpec, ctx: ModelContext) -> Rows | None:
    """Read a rule's rows; None where there are none. A row without its moment is not there yet.

    Raises:
        CellworksError: a column is missing or not known at the step, a number is none, or keys are not unique.
    """
    with open_tables(ctx, spec.table) as tables:
        tables.columns_with(spec.table, spec.named_columns, spec.solution)
        _refuse_what_comes_later(spec, ctx)
        parts = [f"{quote_identifier(key)} AS {quote_identifier(_KEY + key)}" for key in spec.keys]
        for names, kind in ((spec.rule.texts, "VARCHAR"), (spec.rule.numbers, "DOUBLE")):
            parts += [f"CAST({quote_identifier(name)} AS {kind}) AS {quote_identifier(name)}" for name in names]
        order = [quote_identifier(_KEY + key) for key in spec.keys]
        where = ""
        if spec.time is not None:
            parts.append(f"CAST({quote_identifier(spec.time)} AS TIMESTAMP) AS {_TIME}")
            order.insert(0, _TIME)
            where = f"WHERE {quote_identifier(spec.time)} IS NOT NULL"
        table = tables.arrow(
            f"SELECT {', '.join(parts)} FROM {tables.relation(spec.table)} {where} ORDER BY {', '.join(order)}"
        )
    if table.num_rows == 0:
        return None
    check_keys(table, spec)
    time: Any = None if spec.time is None else table.column(_TIME).to_numpy().astype("datetime64[us]")
    own = [*spec.rule.texts, *spec.rule.numbers]
    return Rows(table.select(own), {key: table.column(_KEY + key) for key in spec.keys}, time)


def _refuse_what_comes_later(spec: DecisionSpec, ctx: ModelContext) -> None:
    late = sorted(unknown_at_step(spec, ctx.site) & {*spec.rule.texts, *spec.rule.numbers})
    if late:
        raise CellworksError(
            f"the rule reads what is not known at step '{spec.acts_at}'",
            expected="columns that are known when it decides",
            found=", ".join(late),
            mend="let it act at a later step, or take other columns",
            where=spec.solution,
        )
