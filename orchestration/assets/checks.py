"""Expectations as blocking asset checks: one step per layer and domain, one check per table."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

import dagster as dg

from orchestration import progress
from orchestration.assets.keys import table_key
from orchestration.interruption import heard
from orchestration.plant import plant

if TYPE_CHECKING:
    from expectations.report import FailedExpectation, TableReport

CHECK = "expectations"


def expectation_checks(
    layer: Literal["raw", "staging", "marts"], domain: str, names: Sequence[str]
) -> dg.AssetChecksDefinition:
    """Return the step that checks a domain's tables of a layer.

    Args:
        layer: raw, staging or marts.
        domain: The domain.
        names: The tables, at least one.
    """
    specs = [
        dg.AssetCheckSpec(
            CHECK,
            asset=table_key(layer, name),
            blocking=True,
            description="Great Expectations suite derived from the control plan and the contracts.",
        )
        for name in names
    ]

    @dg.multi_asset_check(name=f"check_{layer}_{domain}", specs=specs)
    def check(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        from expectations.run import run_suites

        here = plant()
        progress.begin(f"checking {layer} of {domain.replace('_', ' ')}")
        with heard():
            report = run_suites(here.home, here.site, layer=layer, domain=domain, progress=progress.advance)
        results = {result.table: result for result in report.tables}
        for name in names:
            result = results.get(name)
            if result is None:
                context.log.warning("no suite for %s.%s", layer, name)
            yield check_result(layer, name, result)

    return check


def check_result(layer: str, name: str, result: "TableReport | None") -> dg.AssetCheckResult:
    """Return what Dagster shows of one table's suite; a table without a suite passes with nothing checked."""
    failed = list(result.failed) if result is not None else []
    metadata: dict[str, Any] = {
        "checked": result.checks if result is not None else 0,
        "asked": result.asked if result is not None else 0,
        "held_since_snapshot": dg.MetadataValue.text(_since(result)),
        "failed": len(failed),
        "seconds": result.seconds if result is not None else 0.0,
    }
    if failed:
        metadata["failures"] = dg.MetadataValue.md(_as_markdown(failed))
    return dg.AssetCheckResult(
        asset_key=table_key(layer, name),
        check_name=CHECK,
        passed=not failed,
        severity=dg.AssetCheckSeverity.ERROR,
        description="; ".join(f"{fault.title}: {_extent(fault)}" for fault in failed[:5]) or None,
        metadata=metadata,
    )


def _since(result: "TableReport | None") -> str:
    if result is None:
        return "nothing was checked"
    return "the whole table was validated" if result.since is None else str(result.since)


def _as_markdown(failed: Sequence["FailedExpectation"]) -> str:
    parts = []
    for fault in failed:
        example = ", for example:" if fault.samples else ""
        parts.append(f"### {fault.title}\n\n{fault.expectation} `{dict(fault.kwargs)}`\n\n{_extent(fault)}{example}\n")
        parts.append("\n".join(f"- `{sample}`" for sample in fault.samples[:10]))
    return "\n".join(parts)


def _extent(fault: "FailedExpectation") -> str:
    """How much fails: rows, the table as a whole, or why it could not be computed."""
    return fault.error or (f"{fault.count} rows" if fault.count else "the table as a whole")
