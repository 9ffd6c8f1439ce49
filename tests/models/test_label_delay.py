"""Labels that come early are those of one kind; neither learning nor judging may see them before all have come."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from models.features.frame import load_frame
from models.fitting import fit
from models.labels.labels import LabelsToComeError
from models.prepare import prepare
from pipelines.control_plan.site import load_site

DEMO = Path(__file__).parents[2] / "infra" / "sites" / "demo"
HOUR = np.timedelta64(1, "h")


def _early_failures(columns):
    """A scrapped cell is known after an hour, a good one after the whole 20."""
    scrapped = ~columns["is_premium"] & (np.arange(len(columns["is_premium"])) % 2 == 0)
    columns["label_known_at"] = columns["started_at"] + np.where(scrapped, 1, 20) * HOUR
    return columns


def test_young_rows_have_no_label_even_if_it_is_known(ctx, table_file, cells, solution):
    columns = _early_failures(cells(800))
    spec = solution(table_file(columns), "binary")
    now = columns["started_at"][500]
    frame = load_frame(spec, replace(ctx, as_of=now.item()))
    known = ~np.asarray(frame.raw_target().is_null())
    assert (frame.time[known] + 20 * HOUR <= now).all()
    assert known.sum() == (columns["started_at"] + 20 * HOUR <= now).sum()
    assert (frame.known_at >= frame.time + 20 * HOUR).all()


@settings(max_examples=15, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(row=st.integers(200, 799))
def test_the_newest_labelled_rows_fail_as_often_as_the_others(row, ctx, table_file, cells, solution):
    columns = _early_failures(cells(800))
    spec = solution(table_file(columns), "binary")
    frame = load_frame(spec, replace(ctx, as_of=columns["started_at"][row].item()))
    labels = np.asarray(frame.raw_target().to_pylist(), dtype=object)
    rows = np.flatnonzero([label is not None for label in labels])
    assert (labels[rows] == columns["is_premium"][rows]).all()
    assert len(rows) == rows.max() + 1, "no row is missing between the first and the newest labelled one"


@pytest.mark.parametrize(("row", "known"), [(0, 0), (60, 38)])
def test_too_few_labels_so_far_are_no_mistake_of_anybodys(row, known, ctx, table_file, cells, solution):
    columns = _early_failures(cells(800))
    spec = solution(table_file(columns), "binary")
    now = columns["started_at"][row].item()
    with pytest.raises(LabelsToComeError, match=f"{known} of 800 rows have one") as told:
        prepare(spec, replace(ctx, as_of=now))
    assert "each has come 20 h after its row" in told.value.mend


def test_a_delay_that_is_too_short_is_told(ctx, table_file, cells, solution):
    spec = solution(table_file(cells(800)), "binary")
    short = spec.model_copy(update={"target": spec.target.model_copy(update={"delay_h": 5.0})})
    assert any("came later than target.delay_h (5 h)" in note for note in prepare(short, ctx).split.notes)
    assert prepare(spec, ctx).split.notes == []


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"target": {"column": "y", "known_at": "seen_at"}}, "target.delay_h is missing"),
        ({"split": {}, "target": {"column": "y", "delay_h": 3}}, "counts from split.time"),
    ],
)
def test_a_label_time_without_a_delay_is_refused(change, says, solution):
    with pytest.raises(ValidationError, match=says):
        solution("t.csv", "binary", **change)


@pytest.mark.parametrize(("sign", "is_doubted"), [(-1, True), (1, False)])
def test_a_wrong_sign_of_the_plan_is_doubted(sign, is_doubted, ctx, table_file, cells, solution):
    columns = cells(800)
    # The plan says: more particles, fewer premium cells.
    columns["particle_count"] = sign * columns.pop("a_mm")
    search = {"trials": 1, "max_rounds": 60, "libraries": ["lightgbm"]}
    spec = solution(table_file(columns), "binary", monotone="plan", search=search)
    here = replace(ctx, site=load_site(DEMO))
    notes = fit(spec, here, prepare(spec, here)).notes
    assert any("signs" in note for note in notes) == is_doubted
