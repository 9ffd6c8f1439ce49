"""The gate over slices: many of them fail no oftener than one, and what can tell nothing is left out."""

from __future__ import annotations

import numpy as np

from models.gates.checks import slice_gate


def test_many_slices_of_equal_skill_fail_no_oftener_than_one_would(solution):
    spec = solution("cells.csv", "regression")
    rng = np.random.default_rng(0)
    lot = np.repeat(np.arange(40), 50)
    slices = {
        "lfp_supplier_code": np.asarray(["A", "B", "C"])[lot % 3],
        "electrolyte_supplier_code": np.asarray(["D", "E", "F", "G"])[lot // 10],
        "line_code": np.asarray(["L1", "L2"])[lot // 2 % 2],
        "shift_code": np.asarray(["N", "D"])[np.arange(lot.size) % 2],
    }
    failed = 0
    for _ in range(60):
        reference = rng.gamma(2, 1, lot.size)
        own = reference + rng.normal(0, 1.5, 40)[lot] + rng.normal(0, 1, lot.size)
        failed += not slice_gate(spec, own, reference, lot, slices).passed
    assert failed <= 6, "5 % of verdicts, and what 60 of them can show"


def test_slices_that_can_tell_nothing_are_left_out(solution):
    spec = solution("cells.csv", "regression")
    reference = np.random.default_rng(0).gamma(2, 1, 3000)
    few = np.arange(3000) < spec.gates.min_slice_rows - 1
    own = np.where(few, reference * 3, reference)
    slices = {"product_code": np.full(3000, "LFP280"), "line_code": np.where(few, "L2", "L1")}
    gate = slice_gate(spec, own, reference, np.arange(3000) // 20, slices)
    assert gate.passed
    assert set(gate.figures) == {"line_code L1"}
    assert slice_gate(spec, own, reference, np.arange(3000) // 20, {"product_code": slices["product_code"]}).passed


def test_a_slice_of_a_few_lots_is_named_and_takes_nothing_from_the_others(solution):
    """Over four lots no fall is beyond chance when many slices share it, however bad the slice is."""
    spec = solution("cells.csv", "regression")
    lot = np.repeat(np.arange(40), 50)
    reference = np.random.default_rng(0).gamma(2, 1, lot.size)
    few = lot < 4
    supplier = np.where(few, "A", np.where(lot < 20, "B", "C"))
    gate = slice_gate(spec, np.where(few, reference * 3, reference), reference, lot, {"supplier_code": supplier})
    assert gate.passed
    assert gate.sentence == "no slice of 2 falls behind; too few groups to tell: supplier_code A"
    own = np.where(supplier == "B", reference * 3, reference)
    gate = slice_gate(spec, own, reference, lot, {"supplier_code": supplier})
    assert "supplier_code B falls behind by 200 %" in gate.sentence
