"""What people or the platform may decide from day to day: inputs of the twin."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class SetPoint:
    """A new target for a process characteristic; it stays until the next one.

    Attributes:
        characteristic_code: code of the control plan.
        value: in the unit of the characteristic.
        machine_id: one machine, or empty for all of the class.
    """

    characteristic_code: str
    value: float
    machine_id: str = ""


@dataclass(frozen=True)
class MaintenanceOrder:
    """A preventive stop of a machine on the day: parts are renewed, the machine stands for `duration_h` hours.

    Attributes:
        at_hour: hours after the start of the production day.
    """

    machine_id: str
    at_hour: float = 2.0
    duration_h: float = 2.0


@dataclass(frozen=True)
class Schedule:
    """When the line runs.

    Attributes:
        planned_hours: hours of the production day on which the line is staffed, 0 to 24.
        formation_delay_h: hours by which formation of ready cells is put off (to cheap hours, say).
    """

    planned_hours: float = 24.0
    formation_delay_h: float = 0.0


@dataclass(frozen=True)
class Decisions:
    """Decisions of one or more days.

    Attributes:
        setpoints: from the first simulated day on.
        maintenance: carried out on the first simulated day.
        hold_lots: material lots, batches or rolls that are not used from now on.
        release_lots: held ones that may be used again.
        schedule: for all days simulated in this call.
    """

    setpoints: tuple[SetPoint, ...] = ()
    maintenance: tuple[MaintenanceOrder, ...] = ()
    hold_lots: tuple[str, ...] = ()
    release_lots: tuple[str, ...] = ()
    schedule: Schedule = field(default_factory=Schedule)
