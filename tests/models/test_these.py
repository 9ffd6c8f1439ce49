"""Some rows of a large table: exactly those, and nothing is opened beside where they lie."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from models.features.frame import load_frame
from models.features.these import these_rows
from pipelines.control_plan.errors import CellworksError

ROWS, GROUP = 2000, 250


def damage(file: str, column: str, row_group: int) -> None:
    """Overwrite the values of a column in one row group of a Parquet file."""
    found = pq.ParquetFile(file).metadata.row_group(row_group)
    chunk = next(found.column(n) for n in range(found.num_columns) if found.column(n).path_in_schema == column)
    begin = chunk.dictionary_page_offset or chunk.data_page_offset
    content = bytearray(Path(file).read_bytes())
    content[begin : begin + chunk.total_compressed_size] = b"\xff" * chunk.total_compressed_size
    Path(file).write_bytes(content)


@pytest.fixture
def parted(table_file, cells) -> str:
    """A file of row groups in the order of time."""
    file = table_file(cells(ROWS))
    pq.write_table(pq.read_table(file), file, row_group_size=GROUP)
    return file


@pytest.mark.parametrize("has_time", [True, False])
def test_row_groups_of_other_rows_stay_shut(ctx, parted, solution, has_time):
    spec = solution(parted)
    every = load_frame(spec, ctx, with_target=False, columns=[])
    newest = every.take(np.arange(ROWS - 10, ROWS))
    damage(parted, "a_mm", row_group=2)
    where, relations = these_rows(spec, newest.table, newest.time if has_time else None)
    found = load_frame(spec, ctx, with_target=False, columns=["a_mm"], where=where, relations=relations)
    assert found.table.column("__key_cell_id").to_pylist() == newest.table.column("__key_cell_id").to_pylist()
    older = every.take(np.arange(2 * GROUP, 3 * GROUP))
    where, relations = these_rows(spec, older.table, older.time)
    with pytest.raises(CellworksError):
        load_frame(spec, ctx, with_target=False, columns=["a_mm"], where=where, relations=relations)


def test_they_are_exactly_these_in_the_order_of_the_frame(ctx, parted, solution):
    spec = solution(parted)
    every = load_frame(spec, ctx, columns=["a_mm"])
    rng = np.random.default_rng(3)
    for count in (1, 2, 77, ROWS):
        rows = np.sort(rng.choice(ROWS, count, replace=False))
        wanted = every.take(rows)
        shuffled = every.take(rng.permutation(rows))
        where, relations = these_rows(spec, shuffled.table.select(["__key_cell_id"]), shuffled.time)
        found = load_frame(spec, ctx, columns=["a_mm"], where=where, relations=relations)
        assert found.table.equals(wanted.table)
        np.testing.assert_array_equal(found.known_at, wanted.known_at)
