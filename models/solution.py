"""What every solution's YAML says, whatever its family. Light: pydantic only, safe to import anywhere."""

from __future__ import annotations

import re
from abc import abstractmethod
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from pipelines.control_plan.errors import CellworksError
from pipelines.lake.files import file_suffix

ActionKind = Literal["alarm", "hold_lot", "setpoint_advice", "work_order", "schedule", "route", "release", "report"]

_CELL = re.compile(r"(?:lake\.)?marts\.cell", re.IGNORECASE)
_SEEN = re.compile(
    r"(?:lake\.)?marts\.(?:(cell)(?:_by_roll)?_at|(slurry_batch|mother_roll|daughter_roll)_in)_(\w+)", re.IGNORECASE
)


def seen_at(table: str) -> tuple[str, str] | None:
    """Entity and step of a table that shows what was known at a step, such as `marts.cell_at_<step>`; else None."""
    found = _SEEN.fullmatch(table)
    return ((found[1] or found[2]).lower(), found[3].lower()) if found else None


class NotYetError(CellworksError):
    """What a solution learns from is still to come, as in a plant's first days: nobody's mistake, the night waits."""


class Part(BaseModel):
    """Base of every part: immutable, and an unknown key is an error, not a silent default."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class LonePart(Part):
    """A part that reads the solution's own table and no other."""

    @property
    def tables(self) -> list[str]:
        """Tables beside the solution's own: none."""
        return []

    def over(self, relations: dict[str, str]) -> Self:  # noqa: ARG002 - parts that name tables look theirs up
        """The same over other relations: it names none."""
        return self


def three_rising(value: list[float]) -> list[float]:
    """Quantiles low, middle and high, as they are.

    Raises:
        ValueError: they are not three rising numbers inside (0, 1).
    """
    if len(value) != 3 or not 0 < value[0] < value[1] < value[2] < 1:
        msg = f"quantiles are three rising numbers inside (0, 1): low, middle, high; found {value}"
        raise ValueError(msg)
    return value


class ColumnSelection(Part):
    """Which columns of the table are read as features; `*` and `?` as wildcards, exclusion wins."""

    select: list[str] = Field(default_factory=lambda: ["*"], description="columns to take")
    exclude: list[str] = Field(default_factory=list, description="columns to leave out, such as identifiers")

    @property
    def outright(self) -> set[str]:
        """Columns named without a pattern, which must be there."""
        return {name for name in self.select if not set(name) & set("*?")}


class Trigger(Part):
    """When the jobs run."""

    nightly: bool = Field(default=True, description="refit every night")
    weekly_search: bool = Field(default=True, description="full search once a week")
    on_new_data: bool = Field(default=True, description="score when new data was published")
    on_drift: bool = Field(default=True, description="full search when inputs drift or live skill is lost")


class Action(Part):
    """What follows from an answer that is flagged."""

    kind: ActionKind = Field(default="report", description="what is proposed; `report` proposes nothing")


class Resources(Part):
    """What a run of the solution's own job may use, where runs are pods; elsewhere the machine is shared."""

    cpu_cores: float = Field(gt=0, le=512, description="processors, asked for and at most")
    memory_gib: float = Field(gt=0, le=8192, description="memory in GiB, asked for and at most")


class SolutionSpec(Part):
    """One solution: its question, what it reads, and what follows from its answers.

    A family's own spec adds by what it answers; the properties below tell the night, the registry and the table of
    answers what they must know of any family.
    """

    stage: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    slug: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    question: str = Field(description="the question in one sentence; shown on the assets and in the registry")
    owner: str = Field(default="", description="`team:<name>` or an e-mail address; none: the owner of the domain")
    description: str = Field(default="", description="what the answer is used for")
    entity: str = Field(default="row", description="what one row is: cell, lot, roll, machine_hour")
    table: str = Field(min_length=1, description="lake relation (`marts.cell_at_<step>`, ...) or a CSV/Parquet file")
    keys: list[str] = Field(min_length=1, description="columns that name a row; no two rows share them")
    domain: str | None = Field(default=None, description="domain whose published snapshot is read")
    acts_at: str | None = Field(
        default=None,
        description=(
            "step at which it answers; only what was known then is read; `marts.cell_at_<step>` and "
            "`marts.<record>_in_<step>` need it"
        ),
    )
    trigger: Trigger = Field(default_factory=Trigger, description="when it runs")
    action: Action = Field(default_factory=Action, description="what follows from an answer")
    resources: Resources | None = Field(
        default=None, description="what a run of its own job gets on Kubernetes; none: what any run gets"
    )

    @model_validator(mode="after")
    def _reads_what_is_known(self) -> Self:
        """Refuse a table that shows more than the guard of the features, which goes by `acts_at`, lets by."""
        if _CELL.fullmatch(self.table):
            msg = (
                f"table '{self.table}' is for people and labels and shows what came later; read marts.cell_at_<step>, "
                "with acts_at: <step>"
            )
            raise ValueError(msg)
        if (seen := seen_at(self.table)) is not None and self.acts_at != seen[1]:
            msg = (
                f"table '{self.table}' shows what is known at {seen[1]}: write acts_at: {seen[1]}, found {self.acts_at}"
            )
            raise ValueError(msg)
        return self

    @property
    def name(self) -> str:
        """Name in the model registry: `<stage>.<slug>`."""
        return f"{self.stage}.{self.slug}"

    @property
    def solution(self) -> str:
        """Path-like name a person types: `<stage>/<slug>`."""
        return f"{self.stage}/{self.slug}"

    @property
    def tables(self) -> list[str]:
        """Every table it reads, each once, the one whose rows it answers for first."""
        return [self.table]

    @property
    def files(self) -> list[str]:
        """Its tables that are files of a person's own and no lake relations."""
        return [name for name in self.tables if file_suffix(name)]

    @property
    def roles(self) -> dict[str, str]:
        """Columns of its tables that have another part to play than that of a feature, and which."""
        return dict.fromkeys(self.keys, "key of the entity")

    @property
    def named_columns(self) -> list[str]:
        """Columns of `table` that the YAML names outright and that must be there, each once."""
        return list(dict.fromkeys(self.keys))

    @property
    @abstractmethod
    def primary_metric(self) -> str:
        """Metric shown first."""

    @property
    def asks(self) -> list[str]:
        """Solutions (`<stage>/<slug>`) whose champions it asks: in a night they come first."""
        return []

    @property
    def acts_within_h(self) -> float | None:
        """Hours after its moment for which a row can be acted upon; None: as long as it stands."""
        return None

    def over(self, relations: dict[str, str], domain: str) -> Self:
        """The same solution over other relations, by the names that the YAML gives its tables, and their domain."""
        return self.model_copy(update={"table": relations.get(self.table, self.table), "domain": domain})


class LearningSpec(SolutionSpec):
    """A solution of a family that learns, and from which columns."""

    features: ColumnSelection = Field(default_factory=ColumnSelection, description="columns to learn from")

    @property
    def named_columns(self) -> list[str]:
        """Keys, and the columns to learn from that are named outright."""
        return list(dict.fromkeys([*super().named_columns, *sorted(self.features.outright)]))


class RuleSpec(SolutionSpec):
    """A solution of a family that learns nothing: its answers follow from its YAML and the rows alone."""

    @property
    def primary_metric(self) -> str:
        """None: nothing is learnt that could be measured against a baseline."""
        return ""
