"""`cellworks evaluate`: whether solutions work, measured on the twin."""

from __future__ import annotations

from typing import Any

from orchestration.catalogue import discover, find
from orchestration.cli import console
from orchestration.evaluation import catalogue
from orchestration.evaluation.ground import SEEDS, Ground
from orchestration.evaluation.registry import evaluate, of_row
from orchestration.plant import plant
from pipelines.control_plan.errors import CellworksError

COLUMNS = ("solution", "family", "verdict", "value", "baseline", "95 % of the gain", "reason")
MIN_PLANTS = 5


def run_evaluation(solution: str | None, plants: int, *, of_all: bool, as_json: bool) -> None:
    """Evaluate one solution, or all of them, and print the verdicts.

    Args:
        solution: stage/slug or slug.
        plants: how many plants, each of a seed of its own.
        of_all: every row of the catalogue.
        as_json: print one JSON document.

    Raises:
        CellworksError: there is no such solution, or neither or both of one and all were asked for.
    """
    if of_all == (solution is not None):
        raise CellworksError(
            "say what to evaluate", expected="a solution, or --all", found="both" if of_all else "neither"
        )
    if not MIN_PLANTS <= plants <= len(SEEDS):
        raise CellworksError(
            "an interval needs several plants", expected=f"{MIN_PLANTS} to {len(SEEDS)}", found=str(plants)
        )
    specs = discover()
    listed = catalogue.rows() if solution is None else []
    named = {part for row in listed for part in row.parts}
    chosen = [spec for spec in specs if spec.solution in named] if listed else [find(str(solution), specs)]
    here, found = plant(), {}
    with console.bars() as shown, console.only_ours():
        ground = Ground(here.site, SEEDS[:plants], shown.advance, here.home)
        shown.expect(len(chosen))
        for spec in chosen:
            shown.begin(spec.solution)
            found[spec.solution] = evaluate(spec, ground)
    rows = [of_row(row, specs, found) for row in listed] or [found[spec.solution].row(spec) for spec in chosen]
    if as_json:
        console.tell({"solutions": rows} if of_all else rows[0], "", as_json=True)
    else:
        console.table(COLUMNS, [_line(row) for row in rows])


def _line(row: dict[str, Any]) -> list[str]:
    low, high = row["interval"] or (None, None)
    band = "-" if low is None else f"[{console.figure(low)}, {console.figure(high)}]"
    figures = [console.figure(row[name]) for name in ("value", "baseline")]
    return [f"{row['stage']}/{row['slug']}", row["family"], row["verdict"], *figures, band, row["reason"]]
