"""What plan and site say of a set-point: target, limits of a move, and how often one may be proposed."""

from __future__ import annotations

from dataclasses import dataclass, replace

from models.optimizer.spec import RunToRun
from pipelines.control_plan.derive import setpoint_moves
from pipelines.control_plan.errors import CellworksError
from pipelines.control_plan.plan import Characteristic
from pipelines.control_plan.site import Site
from pipelines.optimizers.run_to_run import Guards


@dataclass(frozen=True)
class Aim:
    """What is held where, and by what.

    Attributes:
        held: row of the plan of the quantity that is held; its nominal value is the target.
        moved: row of the plan of the set-point; its nominal value is in force until a move is carried out.
        target: wanted value of the held quantity, in its unit.
        nominal: set-point of the recipe, in its unit.
        guards: limits of moves.
    """

    held: Characteristic
    moved: Characteristic
    target: float
    nominal: float
    guards: Guards


def aim_of(site: Site, spec: RunToRun, variant: str | None, where: str) -> Aim:
    """The aim for one variant.

    Args:
        site: gives the plan, and the policy of `setpoint_advice` where it has one.
        spec: names what is held and moved.
        variant: variant of the machine; None or empty where there is none.
        where: the solution, for messages.

    Raises:
        CellworksError: the plan lacks one of the two, its nominal value, or the limits of moves.
    """
    held = row_of(site, spec.hold, variant, where)
    moved, nominal, guards = moved_by(site, spec.by, variant, where)
    if held.nominal is None:
        raise CellworksError(
            f"'{held.code}' has no target", expected="a nominal value in the control plan", found="none", where=where
        )
    guards = replace(
        guards, max_age_s=spec.max_age_h * 3600, outlier_sigma=spec.outlier_sigma, stuck_runs=spec.stuck_runs
    )
    return Aim(held, moved, held.nominal, nominal, guards)


def moved_by(site: Site, name: str, variant: str | None, where: str) -> tuple[Characteristic, float, Guards]:
    """A set-point's row of the plan, its nominal value, and what no move of it may cross.

    Args:
        site: gives the plan, and the policy of `setpoint_advice` where it has one.
        name: of the set-point, without its variant.
        variant: variant of the machine; None or empty where there is none.
        where: the solution, for messages.

    Raises:
        CellworksError: the plan lacks it, its nominal value, or the limits of moves.
    """
    moved = row_of(site, name, variant, where)
    move = setpoint_moves(moved)
    if move is None or moved.nominal is None:
        known = ", ".join(sorted(row.code for row in site.plan.rows if setpoint_moves(row) is not None))
        raise CellworksError(
            f"'{moved.code}' is no set-point that may be moved",
            expected=f"one of {known}",
            found=f"a row without nominal, lsl, usl, move_max or move_rate_per_h (line {moved.line_no})",
            mend="correct what `optimizer` moves, or let the control plan allow moves of it",
            where=where,
        )
    policy = site.actions.get("setpoint_advice")
    guards = Guards(
        move.low,
        move.high,
        move.max_step,
        move.max_rate_per_h,
        moved.resolution,
        policy.cooldown_s if policy else 0.0,
        policy.max_per_target_day if policy else 1,
    )
    return moved, moved.nominal, guards


def row_of(site: Site, name: str, variant: str | None, where: str) -> Characteristic:
    """Row of the plan of a quantity of a variant.

    Raises:
        CellworksError: the plan has none.
    """
    code = f"{variant}_{name}" if variant else name
    row = site.plan.by_code.get(code)
    if row is None:
        raise CellworksError(
            f"the control plan has no '{code}'",
            expected="a characteristic of control_plan.csv; `variant` names the column that makes its code",
            found=code,
            mend="correct the names in `optimizer`, or its `variant`",
            where=where,
        )
    return row
