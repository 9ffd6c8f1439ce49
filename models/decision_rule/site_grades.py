"""Grades of the site in place of `grades: site`: the control plan stays the one place that says the limits."""

from __future__ import annotations

from pydantic import ValidationError

from models.decision_rule.spec import DecisionSpec, Grade, Grading, Limit
from pipelines.control_plan.errors import CellworksError
from pipelines.control_plan.site import Site


def bound(spec: DecisionSpec, site: Site | None) -> DecisionSpec:
    """The rule with its limits written out, so that its version changes when the site's limits do.

    Args:
        spec: the solution; without `grades: site` it stays as it is.
        site: whose grades count.

    Raises:
        CellworksError: there is no site, it has no grade without limits, or `flagged` names a grade that it has not.
    """
    if spec.grading is None or spec.grading.grades != "site":
        return spec
    if site is None:
        raise _refused(spec, "no site", "a site whose site.yaml has `grades:`")
    last = [grade.code for grade in site.grades if not grade.limits]
    if not last:
        raise _refused(spec, "a limit at every grade", "one grade without limits, for what keeps none")
    grades = [
        Grade(
            name=grade.code,
            limits={code: Limit(at_least=limit.min, at_most=limit.max) for code, limit in grade.limits.items()},
        )
        for grade in site.grades
        if grade.limits
    ]
    try:
        grading = Grading(grades=grades, otherwise=last[0], flagged=spec.grading.flagged)
    except ValidationError as error:
        raise _refused(spec, "; ".join(each["msg"] for each in error.errors()), "grades of the site") from error
    return spec.model_copy(update={"grading": grading})


def _refused(spec: DecisionSpec, found: str, expected: str) -> CellworksError:
    return CellworksError(
        "the grades of the site cannot be taken",
        expected=expected,
        found=found,
        mend="correct `grades:` in site.yaml, or write the classes into the solution",
        where=spec.solution,
    )
