"""From columns to a matrix: selection, the leak guard of the plan, code books, odd types and sizes."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.context import ModelContext
from models.features.contract import learn_contract
from models.features.frame import load_frame
from models.features.select import select_features
from models.features.source import open_tables
from models.scoring.runtime import matrix
from models.spec import PredictiveSpec
from pipelines.control_plan.errors import CellworksError
from pipelines.control_plan.site import load_site
from pipelines.lake.schemas import bootstrap


def _spec(table="t.csv", **changes):
    content = {
        "stage": "a",
        "slug": "b",
        "question": "?",
        "table": table,
        "keys": ["cell_id"],
        "target": {"column": "is_premium", "table": "marts.cell_label"},
        "task": "binary",
    }
    return PredictiveSpec(**(content | changes))


@pytest.fixture(scope="module")
def site():
    return load_site(Path("infra/sites/demo").resolve())


def test_the_leak_guard_knows_the_plan(site, ctx):
    plan = [row.code for row in site.plan.rows if row.entity == "cell"]
    at = replace(ctx, site=site)
    columns = dict.fromkeys(plan, "DOUBLE") | {"cell_id": "VARCHAR", "is_premium": "BOOLEAN"}
    spec = _spec(entity="cell", acts_at="formation")
    chosen = select_features(spec, at, columns)
    steps = {step.code: step.order for step in site.plan.steps}
    by_step = {row.code: steps[row.step] for row in site.plan.rows}
    assert chosen.numbers
    assert all(by_step[name] < steps["formation"] for name in chosen.numbers)
    late = [code for code in plan if by_step[code] >= steps["formation"]]
    assert late
    assert all(chosen.dropped[code] == "not known at step 'formation'" for code in late)
    with pytest.raises(CellworksError, match=f"'{late[0]}' leaks: not known at step"):
        select_features(_spec(entity="cell", acts_at="formation", features={"select": [late[0]]}), at, columns)
    with pytest.raises(CellworksError, match="no step 'polishing'"):
        select_features(_spec(acts_at="polishing"), at, columns)


@given(st.sampled_from(["coating", "stacking", "filling", "formation", "ageing", "grading"]), st.data())
@settings(max_examples=25, deadline=None)
def test_no_pattern_gets_past_the_leak_guard(site, step, data):
    codes = [row.code for row in site.plan.rows]
    patterns = data.draw(
        st.lists(st.sampled_from(["*", "*_um", "cathode_*", "*_v", "c*", "*h"]), min_size=1, max_size=3)
    )
    steps = {each.code: each.order for each in site.plan.steps}
    known = {row.code for row in site.plan.rows if steps[row.step] < steps[step]}
    spec = _spec(entity="cell", acts_at=step, features={"select": patterns})
    try:
        chosen = select_features(spec, ModelContext(None, site=site), dict.fromkeys(codes, "DOUBLE"))
    except CellworksError as error:
        assert "can be a feature" in error.what
        return
    assert set(chosen.numbers) <= known


@pytest.mark.parametrize("table", ["cells.csv", "marts.cells"])
def test_fits_and_reads_have_the_threads_of_the_environment_and_no_file_fetches_an_extension(
    table, home, site, monkeypatch
):
    monkeypatch.setenv("CELLWORKS_THREADS", "3")
    bootstrap(home, site)
    fresh = ModelContext(home)
    assert fresh.n_threads == 3
    with open_tables(fresh, table) as tables:
        setting = "SELECT current_setting('threads'), current_setting('autoinstall_known_extensions')"
        assert tables.con.execute(setting).fetchone() == (3, False)
    monkeypatch.delenv("CELLWORKS_THREADS")
    assert ModelContext(home).n_threads == min(os.cpu_count() or 1, 4)


def test_naming_the_target_or_a_missing_column_is_a_mistake(ctx):
    columns = {"cell_id": "VARCHAR", "is_premium": "BOOLEAN", "a_mm": "DOUBLE"}
    with pytest.raises(CellworksError, match="'is_premium' leaks: the target"):
        select_features(_spec(features={"select": ["a_mm", "is_premium"]}), ctx, columns)
    with pytest.raises(CellworksError, match="does not have"):
        select_features(_spec(features={"select": ["a_um"]}), ctx, columns)
    with pytest.raises(CellworksError, match="no column"):
        select_features(_spec(features={"exclude": ["*"]}), ctx, columns)


def test_units_in_brackets_are_plain_text(ctx):
    columns = {"cell_id": "VARCHAR", "Torque [Nm]": "DOUBLE", "Speed [rpm]": "DOUBLE", "Speed r": "DOUBLE"}
    spec = _spec(target={"column": "y"}, features={"select": ["Torque [Nm]", "Speed [rpm]*"]})
    assert select_features(spec, ctx, columns).numbers == ["Torque [Nm]", "Speed [rpm]"]


def test_dates_lists_and_bookkeeping_are_no_features(ctx):
    columns = {
        "cell_id": "VARCHAR",
        "graded_at": "TIMESTAMP",
        "day": "DATE",
        "curve": "DOUBLE[]",
        "pack": "STRUCT(a INTEGER)",
        "_batch_id": "BIGINT",
        "is_retest": "BOOLEAN",
        "cost_usd": "DECIMAL(10,2)",
        "grade_code": "ENUM('a', 'b')",
    }
    chosen = select_features(_spec(target={"column": "y"}), ctx, columns)
    assert chosen.numbers == ["is_retest", "cost_usd"]
    assert chosen.categories == ["grade_code"]
    assert set(chosen.dropped) == {"cell_id", "graded_at", "day", "curve", "pack", "_batch_id"}


def test_a_matrix_of_every_kind_of_column():
    table = pa.table(
        {
            "whole": pa.array([1, None, 3]),
            "yes": pa.array([True, False, None]),
            "money": pa.array([Decimal("1.50"), None, Decimal("2.25")]),
            "huge": pa.array([1e300, -np.inf, np.nan]),
            "none": pa.nulls(3),
            "kind": pa.array(["b", "new", None]),
            "coded": pa.array(["a", "b", "a"]).dictionary_encode(),
        }
    )
    names = ["whole", "yes", "money", "huge", "none"]
    features = [{"name": name, "kind": "number"} for name in names]
    features += [{"name": name, "kind": "category", "book": ["a", "b"]} for name in ("kind", "coded")]
    found = matrix(table, features)
    assert found.dtype == np.float32
    assert found.flags["C_CONTIGUOUS"]
    nan = np.nan
    expected = [[1, 1, 1.5, nan, nan, 1, 0], [nan, 0, nan, nan, nan, nan, 1], [3, nan, 2.25, nan, nan, nan, 0]]
    np.testing.assert_array_equal(found, np.asarray(expected, dtype=np.float32))
    with pytest.raises(KeyError, match="whole"):
        matrix(table.drop_columns(["whole"]), features)


def test_the_contract_is_learnt_on_given_rows_and_says_what_it_drops(ctx, table_file):
    n = 400
    columns = {
        "cell_id": np.arange(n),
        "y": np.arange(n) % 2,
        "number": np.arange(n) * 1.0,
        "constant": np.full(n, 3.0),
        "mostly": np.where(np.arange(n) < 5, np.nan, 3.0),
        "empty": pa.nulls(n, pa.string()),
        "serial": [f"S{i}" for i in range(n)],
        "kind": ["b", "a", "b", "c"] * (n // 4),
    }
    frame = load_frame(_spec(table_file(columns), target={"column": "y"}), ctx)
    features, dropped = learn_contract(frame)
    assert [f["name"] for f in features] == ["number", "mostly", "kind"]
    assert features[-1]["book"] == ["b", "a", "c"], "by frequency, then name"
    assert dropped["constant"] == "constant (3)"
    assert dropped["empty"] == "all missing"
    assert dropped["serial"].startswith("an identifier")


def test_rows_come_in_the_order_of_time_and_keys_and_labels_only_when_known(ctx, table_file):
    moment = np.datetime64("2026-01-01", "us")
    hours = np.asarray([3, 1, 2, 1])
    columns = {
        "cell_id": ["d", "b", "c", "a"],
        "at": moment + (hours * 3_600_000_000).astype("timedelta64[us]"),
        "seen_at": moment + ((hours + 1) * 3_600_000_000).astype("timedelta64[us]"),
        "day": [date(2026, 1, 1)] * 4,
        "x": [1.0, 2.0, 3.0, 4.0],
        "y": [1, 0, 1, 0],
    }
    spec = _spec(table_file(columns), target={"column": "y", "known_at": "seen_at", "delay_h": 1}, split={"time": "at"})
    frame = load_frame(spec, replace(ctx, as_of=(moment + np.timedelta64(3, "h")).item()))
    assert frame.table.column("__key_cell_id").to_pylist() == ["a", "b", "c", "d"]
    assert frame.raw_target().to_pylist() == [0, 0, 1, None], "a label known later is not seen"
    assert frame.table.column("x").to_pylist() == [4.0, 2.0, 3.0, 1.0]


def test_only_the_rows_that_the_question_is_asked_of_are_read(ctx, table_file):
    columns = {
        "cell_id": ["a", "b", "c", "d"],
        "electrode_code": ["cathode", "anode", None, "cathode"],
        "lane_no": [1, 1, 1, 2],
        "x": [1.0, 2.0, 3.0, 4.0],
        "y": [1, 0, 1, 0],
    }
    asked = {"target": {"column": "y"}, "only": {"electrode_code": ["cathode", "o'clock"], "lane_no": ["1"]}}
    table = table_file(columns)
    assert load_frame(_spec(table, **asked), ctx).table.column("x").to_pylist() == [1.0]
    assert load_frame(_spec(table, **asked | {"only": {}}), ctx).n_rows == 4
    with pytest.raises(CellworksError, match=r"found: *colour"):
        load_frame(_spec(table, **asked | {"only": {"colour": ["red"]}}), ctx)


@pytest.mark.parametrize("suffix", ["csv", "csv.gz", "tsv", "parquet", "jsonl"])
def test_every_file_format_is_read(suffix, ctx, tmp_path):
    import duckdb

    options = {"csv": "HEADER", "csv.gz": "HEADER, COMPRESSION gzip", "tsv": "HEADER, DELIMITER '\t'"}
    formats = {"parquet": "FORMAT parquet", "jsonl": "FORMAT json"}
    file = tmp_path / f"it's a table.{suffix}"
    how = formats.get(suffix) or f"FORMAT csv, {options[suffix]}"
    target = str(file).replace("'", "''")
    duckdb.sql(
        f"COPY (SELECT i AS cell_id, i * 0.5 AS \"x [mm]\", i % 2 AS y FROM range(60) t(i)) TO '{target}' ({how})"
    )
    frame = load_frame(_spec(str(file), target={"column": "y"}), ctx)
    assert frame.n_rows == 60
    assert frame.table.column("x [mm]").to_pylist()[3] == 1.5
    assert len(frame.digest) == 64
    relative = load_frame(_spec(file.name, target={"column": "y"}), replace(ctx, files_root=tmp_path))
    assert relative.digest == frame.digest
