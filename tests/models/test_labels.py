"""Labels of every type become class numbers or numbers."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from models.labels.labels import LabelsToComeError, labels_like, make_labels
from models.spec import PredictiveSpec
from pipelines.control_plan.errors import CellworksError


def _spec(task, positive=None):
    target = {"column": "y", "positive": positive}
    return PredictiveSpec(stage="a", slug="b", question="?", table="t.csv", keys=["k"], target=target, task=task)


def _column(values, kind=None):
    return pa.chunked_array([pa.array(values, kind)])


@pytest.mark.parametrize(
    ("values", "positive", "classes"),
    [
        ([True, False, False], None, ["false", "true"]),
        ([True, False, False], False, ["true", "false"]),
        ([1, 0, 0], None, ["0", "1"]),
        ([1.0, 0.0, 0.0], "0", ["1", "0"]),
        (["no", "yes", "no"], None, ["no", "yes"]),
        (["bad", "good", "good"], None, ["good", "bad"]),
        ([7, 9, 9], None, ["9", "7"]),
    ],
)
def test_the_event_is_named_or_usual_or_the_rarer(values, positive, classes):
    labels = make_labels(_spec("binary", positive), _column([*values * 30, None]))
    assert labels.classes == classes
    assert np.isnan(labels.y[-1])
    assert labels.known.sum() == 90
    back = labels_like(_spec("binary"), _column([*values, None]), classes)
    np.testing.assert_array_equal(back, [*labels.y[:3], np.nan])


def test_classes_are_in_order_of_their_text_and_unknown_ones_have_no_number():
    labels = make_labels(_spec("multiclass"), _column(["b", "a", "c", None] * 30))
    assert labels.classes == ["a", "b", "c"]
    assert labels.y[:3].tolist() == [1, 0, 2]
    like = labels_like(_spec("multiclass"), _column(["c", "z", None, "a"]), ["a", "b", "c"])
    np.testing.assert_array_equal(like, [2, np.nan, np.nan, 0])


def test_infinite_numbers_are_missing_and_counted():
    labels = make_labels(_spec("regression"), _column([1.0, 2.0, np.inf, None] * 30))
    assert (labels.infinite, int(labels.known.sum())) == (30, 60)


@pytest.mark.parametrize(
    ("task", "values", "says"),
    [
        ("regression", [3.0] * 60, "every label is 3"),
        ("regression", ["a", "b"] * 30, "numbers for task regression"),
        ("multiclass", [str(i) for i in range(60)], "60 classes"),
        ("binary", [1, 0] * 20, "40 labelled rows of 40"),
        ("binary", [1] * 60, "one class only: 1"),
        ("binary", [None] * 60, "every label missing"),
    ],
)
def test_what_cannot_be_learnt_is_refused(task, values, says):
    with pytest.raises(CellworksError) as caught:
        make_labels(_spec(task), _column(values))
    assert says in str(caught.value)


def test_a_rare_event_that_has_not_happened_yet_is_waited_for_where_labels_come_later():
    spec = _spec("binary")
    later = spec.model_copy(update={"target": spec.target.model_copy(update={"known_at": "known_at"})})
    with pytest.raises(LabelsToComeError, match="one class only: false"):
        make_labels(later, _column([False] * 60))


def test_a_positive_class_that_is_not_there_is_refused():
    with pytest.raises(CellworksError) as caught:
        make_labels(_spec("binary", "maybe"), _column(["yes", "no"] * 30))
    assert "target.positive 'maybe' among them" in str(caught.value)
