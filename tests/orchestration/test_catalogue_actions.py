"""What each row of the catalogue proposes, beside what its folders propose."""

from __future__ import annotations

from orchestration.catalogue import discover
from orchestration.evaluation import catalogue

ONE_KIND = "an answer proposes one kind"
LEFT_OUT = {
    4: ({"release"}, f"{ONE_KIND}; what is not held is told as class release"),
    5: ({"release"}, f"{ONE_KIND}; what is not held is told as class accepted"),
    9: ({"setpoint_advice"}, "no column tells the solvent or time that mends a thick batch, so it is shown: alarm"),
    14: ({"hold_lot"}, f"{ONE_KIND}, and a defect is the machine's to mend before its roll is held"),
    22: ({"alarm"}, f"{ONE_KIND}, and it is asked cell by cell: a cell is routed"),
    24: ({"setpoint_advice"}, "told after the bake, when its time can't be moved any more: the cell is routed"),
    26: ({"alarm"}, f"{ONE_KIND}, and it is asked cell by cell: a cell is routed"),
    34: ({"report"}, "`cellworks causes` reports over the cells that it routes"),
    39: ({"hold_lot"}, f"{ONE_KIND}, and its rows name machines and days, no lots"),
    47: ({"report"}, "a report proposes nothing: the passports are it, and an incomplete one holds the container"),
}
"""Kinds of a row that no folder of it proposes, and why."""


def test_each_row_proposes_its_kinds_but_for_those_that_say_why_not() -> None:
    specs = {spec.solution: spec for spec in discover()}
    found = {
        row.number: lacking
        for row in catalogue.rows()
        if (lacking := set(row.actions) - {specs[part].action.kind for part in row.parts})
    }
    assert found == {number: kinds for number, (kinds, _) in LEFT_OUT.items()}
