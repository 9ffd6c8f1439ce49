"""What twin.yaml says of the historian's points: which causes show in them, and what a standing machine shows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, field
from pathlib import Path

from pipelines.control_plan.errors import CellworksError
from pipelines.control_plan.plan import ELECTRODES, Characteristic, Machine
from pipelines.control_plan.site import Site

FEED = "historian__telemetry"


@dataclass(frozen=True)
class TelemetrySigns:
    """What shows in the points of the historian.

    Attributes:
        causes: by name of a characteristic, names of nodes (without the electrode) with their effect in standard
            deviations of the point per standard deviation of the node.
        rest: by name of a characteristic or by unit, what a standing machine shows as a share of the centre.
    """

    causes: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    rest: Mapping[str, float] = field(default_factory=dict)

    def rest_of(self, row: Characteristic) -> float:
        """Share of the centre that a standing machine shows; 1 for what a stop leaves as it is."""
        return self.rest.get(row.name, self.rest.get(row.unit, 1.0))


def cause_of(site: Site, row: Characteristic, machine: Machine | None, name: str) -> str:
    """Code of a node that shows in a machine's points: of its electrode where the plan knows it by electrode."""
    electrode = row.variant or (machine.variant if machine else "")
    own = f"{electrode}_{name}"
    return own if own in site.plan.by_code else name


def refuse_unknown_signs(signs: TelemetrySigns, site: Site, others: Set[str], file: Path) -> None:
    """Check the names of the parts `telemetry_causes` and `parameters.telemetry.rest`.

    Args:
        signs: as read.
        site: the site.
        others: codes of causes that the plan lacks rightly: hidden ones and the weather.
        file: for messages.

    Raises:
        CellworksError: a name that the control plan lacks.
    """
    rows = [row for row in site.plan.rows if row.feed == FEED]
    names, units = {row.name for row in rows}, {row.unit for row in rows}
    for name in sorted(set(signs.rest) - names - units):
        _refuse(f"{file}: parameters.telemetry.rest", name, f"a characteristic of {FEED}, or the unit of one")
    for name, effects in signs.causes.items():
        if name not in names:
            _refuse(f"{file}: telemetry_causes.{name}", name, f"a characteristic of {FEED}, without its electrode")
        for cause in effects:
            if lost := next(_lost(site, [row for row in rows if row.name == name], cause, others), None):
                _refuse(f"{file}: telemetry_causes.{name}", lost, "a characteristic of entities, or a hidden cause")


def _lost(site: Site, rows: list[Characteristic], cause: str, others: Set[str]) -> Iterator[str]:
    for row in rows:
        for machine in site.plan.machines_of(row):
            code = cause_of(site, row, machine, cause)
            found = site.plan.by_code.get(code)
            if code in others or (found and found.entity not in ("machine", "machine_hour")):
                continue
            yield f"{cause} (for {machine.id})" if machine.variant in ELECTRODES else cause


def _refuse(where: str, found: str, expected: str) -> None:
    raise CellworksError(
        "what shows in telemetry names what the control plan lacks",
        where=where,
        found=found,
        expected=expected,
        mend="correct the name, or add the row to control_plan.csv",
    )
