"""What a process monitor is, as its YAML says it. Light: pydantic only, safe to import anywhere."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from models.solution import LearningSpec, Part


class ReferencePeriod(Part):
    """The rows that show what is usual (phase I): those that a column marks, or the earliest ones."""

    column: str | None = Field(default=None, description="column that marks them; none: the earliest rows")
    values: list[str] = Field(default_factory=list, description="values of `column` that mark them")
    share: float | None = Field(
        default=None, gt=0.0, le=1.0, description="share of the rows of each group, the earliest, without `column`"
    )
    days: float | None = Field(
        default=None, gt=0.0, description="first days of each group, without `column`; later rows never join"
    )
    holdout_ratio: float = Field(
        default=0.25, gt=0.0, lt=0.6, description="latest share of them that is not learnt from: it judges the rate"
    )
    outlier_z: float = Field(
        default=6.0, gt=2.0, description="robust deviations (median, MAD) of a variable from which a row is left out"
    )
    max_rows: int = Field(default=50_000, ge=100, description="newest reference rows of a group that are learnt from")

    @model_validator(mode="after")
    def _one_rule(self) -> Self:
        if (self.column is None) != (not self.values):
            msg = "reference.column names the column and reference.values its values: write both or none"
            raise ValueError(msg)
        if sum(rule is not None for rule in (self.column, self.share, self.days)) != 1:
            msg = "the reference period is told by one of `column` with `values`, `share`, and `days`"
            raise ValueError(msg)
        return self


class Pca(Part):
    """Principal components: how many, over how many rows, and how they are validated."""

    lags: Annotated[int, Field(ge=0, le=20)] | Literal["auto"] = Field(
        default="auto", description="rows before a row set beside it; 0: static; `auto`: chosen in validation"
    )
    max_lags: int = Field(default=3, ge=0, le=20, description="most that `auto` tries")
    components: int | None = Field(default=None, ge=1, description="how many; none: as `explained` says, or validation")
    explained: float | None = Field(
        default=None, gt=0.0, lt=1.0, description="as many as explain this share of the variance"
    )
    folds: int = Field(default=5, ge=3, le=50, description="blocks of consecutive rows, each held out once")
    gap_share: float = Field(
        default=0.05, ge=0.0, lt=0.2, description="share of the rows left out on both sides of a block: near rows tell"
    )

    @model_validator(mode="after")
    def _one_rule(self) -> Self:
        if self.components is not None and self.explained is not None:
            msg = "write pca.components or pca.explained, or none of them: validation then chooses"
            raise ValueError(msg)
        return self


Kind = Literal["individuals", "xbar", "ewma", "cusum"]
Rule = Literal[
    "two_of_three",
    "four_of_five",
    "eight_on_a_side",
    "nine_on_a_side",
    "six_rising_or_falling",
    "fourteen_alternating",
    "fifteen_within_1_sigma",
    "eight_beyond_1_sigma",
]


class Charts(Part):
    """A chart of each variable by itself, beside the principal components."""

    kinds: list[Kind] = Field(
        default=["individuals", "ewma"],
        min_length=1,
        description="individuals (large shifts), xbar (means), ewma and cusum (small lasting ones); each has a limit",
    )
    subgroup: int = Field(default=5, ge=2, le=25, description="last rows that xbar is the mean of")
    weight: float = Field(
        default=0.2, ge=0.05, le=1.0, description="of the newest row in the EWMA: smaller finds smaller shifts"
    )
    shift: float = Field(
        default=1.0, gt=0.0, le=6.0, description="sigma of the shift that CUSUM is to find soonest: twice its slack"
    )
    rules: list[Rule] = Field(
        default_factory=list,
        description="run rules of Western Electric or Nelson that signal too; each adds false alarms to the budget",
    )
    residuals: Literal["auto", "always", "never"] = Field(
        default="auto",
        description="chart what the row before does not tell; `auto`: of variables that follow themselves",
    )


class Specification(Part):
    """Limits that a customer or a drawing sets, in the variable's own unit."""

    lower: float | None = Field(default=None, description="lower specification limit")
    upper: float | None = Field(default=None, description="upper specification limit")
    target: float | None = Field(default=None, description="wanted value; none: the middle between both limits")

    @model_validator(mode="after")
    def _has_a_limit(self) -> Self:
        if self.lower is None and self.upper is None:
            msg = "a specification has a lower limit, an upper limit, or both"
            raise ValueError(msg)
        if self.lower is not None and self.upper is not None and self.lower >= self.upper:
            msg = f"the lower limit lies below the upper one; found {self.lower} and {self.upper}"
            raise ValueError(msg)
        return self


class Gauge(Part):
    """A crossed study of a gauge: parts measured by operators, each more than once."""

    table: str = Field(min_length=1, description="lake relation or file with a row per measurement")
    part: str = Field(description="column of the part that was measured")
    operator: str = Field(description="column of who or what measured it")
    value: str = Field(description="column of the value measured")
    tolerance: float = Field(gt=0.0, description="width of the specification, in the value's unit")


class Fault(Part):
    """Where it is known afterwards which rows were faulty: detection is then judged too."""

    column: str = Field(description="column of the fault")
    healthy: list[str] = Field(default_factory=lambda: ["0", "false"], description="its values, as text, of good rows")


class MonitorGates(Part):
    """Limits that a challenger must keep; ratios in [0, 1]."""

    min_holdout_rows: int = Field(default=100, ge=10, description="later reference rows; fewer: 'insufficient'")
    max_rate_ratio: float = Field(
        default=2.0, ge=1.0, description="false-alarm rate on the later reference rows, as a multiple of what is wanted"
    )
    not_worse_margin: float = Field(
        default=0.02, ge=0.0, lt=1.0, description="share of rows by which it may alarm less rightly than the champion"
    )
    max_seconds_per_1000_rows: float = Field(default=1.0, gt=0.0, description="time limit of scoring")


class MonitorSpec(LearningSpec):
    """One monitor: what it watches, what is usual, how seldom it may cry wolf."""

    time: str = Field(description="column by which rows follow each other: a time, or a number that rises")
    max_gap_s: float | None = Field(
        default=None, gt=0.0, description="rows further apart do not follow each other: lags and runs begin anew"
    )
    group: str | None = Field(default=None, description="column that names the machine; its rows follow each other")
    references: Literal["one", "each"] = Field(
        default="one", description="one reference for all groups, or one for each"
    )
    reference: ReferencePeriod = Field(description="which rows show what is usual (phase I)")
    pca: Pca = Field(default_factory=Pca, description="the model of what is usual")
    charts: Charts | None = Field(default=None, description="a chart of each variable by itself")
    capability: dict[str, Specification] = Field(
        default_factory=dict, description="specification by variable: capability is told where the variable is stable"
    )
    gauges: dict[str, Gauge] = Field(
        default_factory=dict, description="study of its gauge by variable; one that cannot tell parts fails the gate"
    )
    statistic: Literal["combined", "t2", "spe", "charts"] = Field(
        default="combined",
        description="what acts; combined: the larger of T2 and SPE, charts: the largest of all charts, over its limit",
    )
    false_alarm_rate: float = Field(
        default=0.01, gt=0.0, le=0.2, description="share of good rows that may be in alarm; sets the limits"
    )
    persistence: int = Field(default=1, ge=1, le=100, description="consecutive signals that make an alarm")
    top_k: int = Field(default=3, ge=0, le=20, description="variables named as reasons of an alarm")
    fault: Fault | None = Field(default=None, description="where faults become known afterwards")
    gates: MonitorGates = Field(default_factory=MonitorGates, description="limits a challenger must keep")
    seed: int = Field(default=7, description="seed of the intervals")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.references == "each" and self.group is None:
            msg = "references: each needs `group`, the column that names the machine"
            raise ValueError(msg)
        if self.statistic == "charts" and self.charts is None:
            msg = (
                "statistic: charts needs `charts`, which says how each variable is charted; `charts: {}` takes defaults"
            )
            raise ValueError(msg)
        return self

    @property
    def has_common_limits(self) -> bool:
        """Whether groups with references of their own share the limits of their charts.

        Runs of signals and a CUSUM, which is not normal, have limits that only a group's own rows can tell.
        """
        kinds = self.charts.kinds if self.charts else ["cusum"]
        return self.references == "each" and self.persistence == 1 and "cusum" not in kinds

    @property
    def tables(self) -> list[str]:
        """Rows and the studies of gauges."""
        return list(dict.fromkeys([self.table, *(gauge.table for gauge in self.gauges.values())]))

    @property
    def roles(self) -> dict[str, str]:
        """See `SolutionSpec`."""
        return super().roles | {column: role for column, role in self._own_roles.items() if column}

    @property
    def _own_roles(self) -> dict[str | None, str]:
        return {
            self.time: "time of the row",
            self.group: "group of the row",
            self.reference.column: "mark of the reference period",
            self.fault.column if self.fault else None: "the fault",
        }

    @property
    def named_columns(self) -> list[str]:
        """See `SolutionSpec`."""
        named = [*super().named_columns, *(name for name in self._own_roles if name), *self.capability]
        return list(dict.fromkeys(named))

    def over(self, relations: dict[str, str], domain: str) -> Self:
        """The same solution over other relations: rows and the studies of gauges."""
        gauges = {
            name: gauge.model_copy(update={"table": relations.get(gauge.table, gauge.table)})
            for name, gauge in self.gauges.items()
        }
        return super().over(relations, domain).model_copy(update={"gauges": gauges})

    @property
    def primary_metric(self) -> str:
        """False alarms where nobody tells faults, else what share of the faulty rows was found."""
        return "detection_rate" if self.fault else "false_alarm_rate"
