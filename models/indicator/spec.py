"""What an indicator is, as its YAML says it: one part per kind of figures. Light: pydantic only, safe to import."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field

from models.indicator.alarms_spec import Alarms
from models.indicator.cost_spec import Cost
from models.indicator.oee_spec import Oee
from models.solution import RuleSpec


class IndicatorSpec(RuleSpec):
    """One indicator: which figures of which records, to which levels rolled up; its keys are those of its answers."""

    indicator: Annotated[Oee | Cost | Alarms, Field(discriminator="kind")] = Field(
        description="the figures; `kind` says which"
    )

    @property
    def tables(self) -> list[str]:
        """The records, and what the kind reads beside them."""
        return list(dict.fromkeys([self.table, *self.indicator.tables]))

    @property
    def roles(self) -> dict[str, str]:
        """See `SolutionSpec`."""
        return super().roles | dict.fromkeys(self.indicator.columns, "read by the indicator")

    @property
    def named_columns(self) -> list[str]:
        """See `SolutionSpec`."""
        return list(dict.fromkeys([*self.keys, *self.indicator.columns]))

    def over(self, relations: dict[str, str], domain: str) -> Self:
        """The same figures over other relations: records and what is read beside them."""
        return super().over(relations, domain).model_copy(update={"indicator": self.indicator.over(relations)})
