"""Plans as answers: what waits is read, planned beside the rule, and told for each item."""

from __future__ import annotations

from datetime import datetime

from models.context import ModelContext
from models.features.source import open_tables
from models.optimizer.plan_spec import Cutting, LoadShift, Matching, PlanPart, Schedule, Slotting, Stock
from models.optimizer.plans import cutting, load_shift, matching, picture, schedule, slotting, stock
from models.optimizer.plans.items import Asked, Case, told
from models.optimizer.spec import OptimizerSpec
from models.scoring.rule import RuleAnswers
from pipelines.control_plan.errors import CellworksError


def answer(spec: OptimizerSpec, kind: PlanPart, ctx: ModelContext, now: datetime) -> RuleAnswers | None:
    """The plan at the plant's now, and its picture; None where nothing waits.

    Raises:
        CellworksError: there is no site, a column is missing, or no plan keeps the limits.
    """
    if ctx.site is None:
        raise CellworksError(f"{spec.solution} needs a site", expected="a site", found="none")
    with open_tables(ctx, spec.table) as tables:
        tables.columns_with(spec.table, spec.named_columns, spec.solution)
        found = cases(Asked(spec, tables, now, ctx.site.product.cells_per_module), kind)
    if not found:
        return None
    picture.draw(found, spec.question, ctx.home.report_dir(spec.slug) / "plan.png")
    return told(spec, kind, found, now)


def cases(asked: Asked, kind: PlanPart) -> list[Case]:
    """Every plan of the solution with its items."""
    match kind:
        case Cutting():
            return cutting.cases(asked, kind)
        case Matching():
            return matching.cases(asked, kind)
        case Slotting():
            return slotting.cases(asked, kind)
        case Schedule():
            return schedule.cases(asked, kind)
        case LoadShift():
            return load_shift.cases(asked, kind)
        case Stock():
            return stock.cases(asked, kind)
        case _:
            raise LookupError(f"no plan is made of {type(kind).__name__}")
