"""Looking at a table that nobody has described: what kind of task its target is, which columns may be features.

Columns that know the target are left out: those that (all but) determine it, and flags that are set only where the
event happened, together with the flags that stand in one block with them (failure modes beside the failure).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from models.evaluation.metrics import roc_auc
from models.features.contract import learn_contract
from models.features.frame import Frame
from models.features.select import Selection, kind_of
from models.features.source import Tables, private_database
from models.labels.labels import labels_like, make_labels
from models.scoring.runtime import Array, matrix
from models.spec import PredictiveSpec, Target, Task
from pipelines.control_plan.errors import CellworksError
from pipelines.lake.connection import reader, threads
from pipelines.lake.files import file_suffix
from pipelines.lake.home import Home
from pipelines.lake.sql import quote_identifier

_SAMPLE = 200_000
_DETERMINES = 0.995
_FEW_VALUES = 20


@dataclass(frozen=True)
class ProfileReport:
    """What a look at the table brought.

    Attributes:
        task: Guess from the target's values.
        rows: Rows of the table.
        labelled: Rows with a label, all rows looked at.
        classes: Class names and counts; empty for numbers.
        keys: Columns that name one row.
        features: Columns proposed as features.
        excluded: Every other column with the reason.
        leaks: Those among them that know the target.
        notes: Remarks for the person.
    """

    task: Task
    rows: int
    labelled: int
    classes: dict[str, int]
    keys: list[str]
    features: list[str]
    excluded: dict[str, str]
    leaks: list[str]
    notes: list[str] = field(default_factory=list)


def guess_task(column: pa.ChunkedArray) -> Task:
    """Two values: binary; text, or few whole numbers: multiclass; else regression."""
    kind = column.type
    present = column.drop_null()
    distinct = pc.count_distinct(present).as_py() if len(present) else 0
    if distinct == 2 or pa.types.is_boolean(kind):
        return "binary"
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_dictionary(kind):
        return "multiclass"
    whole = pa.types.is_integer(kind) or (
        pa.types.is_floating(kind) and distinct and bool(pc.all(pc.equal(pc.floor(present), present)).as_py())
    )
    return "multiclass" if whole and 2 < distinct <= 10 and len(present) >= 20 * distinct else "regression"


def _is_identifier(values: Array, is_whole: bool) -> bool:
    """Whole numbers that count the rows: all different and all but without gaps."""
    present = values[np.isfinite(values)]
    if not is_whole or len(present) < 50 or len(present) < len(values):
        return False
    span = present.max() - present.min() + 1
    return bool(span <= 1.5 * len(present) and len(np.unique(present)) == len(present))


def _implies(flags: Array, y: Array) -> bool:
    """Whether rows that are set are (all but surely by more than chance) all of the event."""
    count = int(flags.sum())
    if count < 5 or count > 0.9 * len(flags):
        return False
    base = float(y.mean())
    # Chance of only events among so many rows, were the flag blind to the target.
    return bool(y[flags].min() == 1 and base**count < 1e-6)


def _binary_leak(x: Array, y: Array) -> str | None:
    """Why a column knows a yes-or-no target; None when it does not."""
    present = np.isfinite(x)
    if _implies(~present, y) or _implies(present, y) or _implies(~present, 1 - y):
        return "is filled (or empty) only where the event happened"
    set_rows = present & (x != 0)
    values = np.unique(x[present][:_SAMPLE])
    if len(values) <= _FEW_VALUES and _implies(set_rows, y):
        return "is set only where the event happened"
    power = roc_auc(y[present], x[present])(np.ones(int(present.sum())))
    if max(power, 1 - power) >= _DETERMINES:
        return f"all but determines the target (AUC {max(power, 1 - power):.3f})"
    return None


def _number_leak(x: Array, y: Array) -> str | None:
    """Why a column knows a target of numbers: ranks that all but agree."""
    both = np.isfinite(x)
    if both.sum() < 50:
        return None
    ranks = [np.argsort(np.argsort(values[both], kind="stable"), kind="stable").astype(float) for values in (x, y)]
    agreement = abs(float(np.corrcoef(ranks[0], ranks[1])[0, 1]))
    return f"all but determines the target (rank correlation {agreement:.4f})" if agreement >= _DETERMINES else None


def _leak_reason(task: Task, x: Array, y: Array) -> str | None:
    if task == "binary":
        return _binary_leak(x, y)
    if task == "multiclass":
        pure = [_binary_leak(x, (y == value).astype(float)) for value in np.unique(y)]
        found = [reason for reason in pure if reason is not None]
        # A category may rightly be told by one column; only when most classes are, the column is the target itself.
        return found[0] if len(found) > len(pure) / 2 else None
    return _number_leak(x, y)


def _siblings(columns: list[str], leaks: dict[str, str], flags: set[str], rare: set[str]) -> dict[str, str]:
    """Rare flags that stand in one block with leaking flags: modes of the same event."""
    out: dict[str, str] = {}
    leaking = [name for name in columns if name in leaks and name in flags]
    if len(leaking) < 2:
        return out
    for step in (1, -1):
        for start in leaking:
            place = columns.index(start) + step
            while 0 <= place < len(columns) and (columns[place] in flags):
                name = columns[place]
                if name not in leaks and name in rare:
                    out[name] = f"stands in one block of flags with '{start}', which knows the target"
                place += step
    return out


def _read(
    path: str, target: str, home: Home | None, snapshot: int | None, root: Path | None
) -> tuple[dict[str, str], pa.Table, pa.ChunkedArray]:
    """Columns with types, at most 200,000 rows (seeded), and the target of every row.

    The target is read whole, or rare labels would be counted as absent.
    """

    def fetch(tables: Tables) -> tuple[dict[str, str], pa.Table, pa.ChunkedArray]:
        columns = tables.columns(path)
        _require(columns, target=target)
        whole = tables.arrow(f"SELECT {quote_identifier(target)} FROM {tables.relation(path)}").column(0)
        sample = f" USING SAMPLE reservoir({_SAMPLE} ROWS) REPEATABLE (7)" if len(whole) > _SAMPLE else ""
        return columns, tables.arrow(f"SELECT * FROM {tables.relation(path)}{sample}"), whole

    if file_suffix(path) is None:
        if home is None:
            raise CellworksError(f"'{path}' is no file", expected="a .csv, .parquet or .jsonl file, or a lake table")
        with reader(home, snapshot=snapshot) as con:
            return fetch(Tables(con, root))
    with private_database(threads()) as con:
        return fetch(Tables(con, root))


def _keys(table: pa.Table, entity: str, time: str | None) -> list[str]:
    """The entity alone, or with the time, whichever names one row."""
    for keys in ([entity], [entity, time] if time else [entity]):
        if table.group_by(keys).aggregate([]).num_rows == table.num_rows:
            return keys
    raise CellworksError(
        f"the entity '{entity}' does not name one row",
        expected="a column whose values are all different" + ("" if time else ", or a time column beside it"),
        found=f"{table.group_by([entity]).aggregate([]).num_rows} different values in {table.num_rows} rows",
        mend="name another column with --entity, or give --time",
    )


def _require(columns: dict[str, str], **wanted: str | None) -> None:
    for role, name in wanted.items():
        if name is not None and name not in columns:
            raise CellworksError(
                f"the {role} column '{name}' is not in the table",
                expected="one of " + ", ".join(list(columns)[:40]),
                found=name,
                mend=f"correct --{role}",
            )


def _require_moment(columns: dict[str, str], time: str | None) -> None:
    if time is not None and not columns[time].startswith(("TIMESTAMP", "DATE")):
        raise CellworksError(
            f"the time column '{time}' holds no moments",
            expected="dates or times, in a file best as 2026-01-31 06:00:00",
            found=f"type {columns[time]}",
            mend="correct --time, or leave it out",
        )


def _require_whole(table: pa.Table, entity: str) -> None:
    missing = table.column(entity).null_count
    if missing:
        raise CellworksError(
            f"the entity '{entity}' is missing in some rows",
            expected="a value in every row: predictions are written by it",
            found=f"{missing} of {table.num_rows} rows without one",
            mend="name another column with --entity, or fill it",
        )


def _frame(table: pa.Table, columns: dict[str, str], roles: dict[str, str]) -> Frame:
    """Candidate features of the sample as a frame."""
    selection = Selection(dropped=dict(roles))
    arrays: dict[str, Any] = {}
    for name, duckdb_type in columns.items():
        kind = kind_of(duckdb_type)
        if name in roles:
            continue
        if kind is None:
            selection.dropped[name] = f"type {duckdb_type} is no feature"
            continue
        column = table.column(name)
        if kind == "number":
            selection.numbers.append(name)
            arrays[name] = column.cast(pa.float64(), safe=False).cast(pa.float32(), safe=False)
        else:
            selection.categories.append(name)
            arrays[name] = column.cast(pa.string())
    return Frame(pa.table(arrays) if arrays else pa.table({"none": pa.nulls(table.num_rows)}), selection, [])


def profile_table(
    path: str,
    target: str,
    entity: str,
    time: str | None = None,
    group: str | None = None,
    *,
    exclude: Sequence[str] = (),
    task: Task | None = None,
    home: Home | None = None,
    snapshot: int | None = None,
    root: Path | None = None,
) -> ProfileReport:
    """Look at a table and propose a solution for it, asking nothing.

    Args:
        path: CSV, Parquet or JSON-lines file, or a lake relation.
        target: column to predict.
        entity: column that names a row (with `time`, if it repeats).
        time: when each row happened.
        group: lot, batch or machine that must not be cut in two.
        exclude: columns that the person does not want as features.
        task: kind of target; None: guessed.
        home: needed for a lake relation.
        snapshot: lake snapshot; None: the newest.
        root: folder against which relative files are resolved.

    Returns:
        The proposal with every left-out column and its reason.

    Raises:
        CellworksError: a named column is missing, the target cannot be learnt, or nothing is left to learn from.
    """
    columns, table, whole_target = _read(path, target, home, snapshot, root)
    _require(columns, entity=entity, time=time, group=group)
    _require_moment(columns, time)
    _require_whole(table, entity)
    keys = _keys(table, entity, time)
    kind: Task = task or guess_task(whole_target)
    bare = _bare_spec(target, keys, kind)
    labels = make_labels(bare, whole_target)
    y = labels.y if table.num_rows == len(whole_target) else labels_like(bare, table.column(target), labels.classes)
    for name in exclude:
        _require(columns, exclude=name)
    roles = dict.fromkeys(exclude, "excluded by hand") | {target: "the target", entity: "the entity"}
    roles |= {name: role for name, role in ((time, "the time"), (group, "the group")) if name}
    frame = _frame(table, columns, roles)
    features, useless = _contract(path, frame)
    excluded = frame.selection.dropped | useless
    whole = {name for name, duckdb_type in columns.items() if "INT" in duckdb_type}
    knowing, counting = _examine(kind, features, matrix(frame.table, features), y, whole, list(columns))
    excluded |= counting | {name: f"knows the target: {reason}" for name, reason in knowing.items()}
    chosen = [f["name"] for f in features if f["name"] not in excluded]
    if not chosen:
        raise _nothing_left(path, excluded)
    counts = {name: int((labels.y == place).sum()) for place, name in enumerate(labels.classes)}
    rows = len(whole_target)
    notes = [f"looked at the columns of {table.num_rows:,} of {rows:,} rows"] if rows > table.num_rows else []
    return ProfileReport(kind, rows, int(labels.known.sum()), counts, keys, chosen, excluded, sorted(knowing), notes)


def _bare_spec(target: str, keys: list[str], task: Task) -> PredictiveSpec:
    """As much of a solution as labels need; which table it may read is for the finished one to say."""
    aim = Target(column=target)
    return PredictiveSpec(stage="new", slug="new", question="", table="new", keys=keys, target=aim, task=task)


def _nothing_left(path: str, excluded: dict[str, str]) -> CellworksError:
    return CellworksError(
        f"'{path}' has no column to learn from",
        found="; ".join(f"{name}: {reason}" for name, reason in list(excluded.items())[:10]),
        expected="at least one column that varies and does not know the target",
    )


def _contract(path: str, frame: Frame) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """The contract of the candidates; see `learn_contract`."""
    if not frame.selection.columns:
        raise _nothing_left(path, frame.selection.dropped)
    try:
        return learn_contract(frame)
    except CellworksError as error:
        raise CellworksError(
            f"'{path}' has no column to learn from", expected=error.expected, found=error.found
        ) from error


def _examine(
    task: Task, features: list[dict[str, Any]], x: Array, y: Array, whole: set[str], order: list[str]
) -> tuple[dict[str, str], dict[str, str]]:
    """Columns that know the target, and columns that only count the rows, each with its reason."""
    known = ~np.isnan(y)
    leaks: dict[str, str] = {}
    counting: dict[str, str] = {}
    flags: set[str] = set()
    rare: set[str] = set()
    share = max(float((y[known] == 1).mean()), 0.01) if task == "binary" else 0.0
    for place, feature in enumerate(features):
        name, values = feature["name"], x[:, place]
        if _is_identifier(values, name in whole):
            counting[name] = "an identifier: it counts the rows"
            continue
        present = values[np.isfinite(values)]
        if len(present) and np.isin(present, (0, 1)).all():
            flags.add(name)
            rare |= {name} if present.mean() <= share else set()
        reason = _leak_reason(task, values[known].astype(np.float64), y[known])
        if reason is not None:
            leaks[name] = reason
    return leaks | _siblings(order, leaks, flags, rare), counting
