"""What a predictive solution is, as its YAML says it. Light: pydantic only, safe to import anywhere."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from models.solution import Action, ColumnSelection, LearningSpec, Part, three_rising

Task = Literal["regression", "quantile", "binary", "multiclass"]
Library = Literal["lightgbm", "xgboost", "linear"]

# The first is shown first unless `metric` names another; `expected_cost` or `error_rate` joins in classification.
_METRICS: dict[Task, tuple[str, ...]] = {
    "regression": ("rmse", "mae", "r2", "coverage", "interval_width"),
    "quantile": ("pinball", "rmse", "mae", "r2", "coverage", "interval_width"),
    "binary": ("roc_auc", "average_precision", "brier", "f1", "precision", "recall"),
    "multiclass": ("macro_f1", "accuracy", "brier"),
}


class FeatureSelection(ColumnSelection):
    """Which columns of the table may become features, and whether the family builds further ones of them."""

    build: bool = Field(
        default=False,
        description="try products, ratios and differences of the strongest numbers; those that help in validation stay",
    )


class Sequence(Part):
    """A table that follows each entity row by row: windows over a row's past become features beside its own values."""

    entity: list[str] = Field(min_length=1, description="columns that name what is followed: an engine, a tool")
    order: str = Field(description="column by which its rows follow each other: a cycle or another number, or a moment")
    columns: list[str] = Field(default_factory=lambda: ["*"], description="numbers that get windows; `*` and `?`")
    windows: list[int] = Field(default=[5, 20], min_length=1, description="rows that a window reaches back, at least 2")
    base_rows: int = Field(default=5, ge=0, description="first rows that the change is counted from; 0: no change")
    usual_rows: int = Field(
        default=0,
        ge=0,
        description=(
            "rows before the longest window, whose mean is what is usual of the entity: how far each window's mean "
            "lies above it becomes a feature, for entities that differ for good; 0: none"
        ),
    )

    @field_validator("windows")
    @classmethod
    def _reach_back(cls, value: list[int]) -> list[int]:
        if any(rows < 2 for rows in value) or len(set(value)) < len(value):
            msg = f"windows are different numbers of rows, each 2 or more; found {value}"
            raise ValueError(msg)
        return value


class Target(Part):
    """What is predicted. `table` names a label table joined on the keys; None: a column of the feature table."""

    column: str = Field(description="column that holds the answer")
    table: str | None = Field(default=None, description="label table joined on the keys; none: the feature table")
    known_at: str | None = Field(default=None, description="column: when the label became known (UTC)")
    delay_h: float | None = Field(
        default=None,
        ge=0.0,
        description=(
            "hours after split.time by which every label has come, good or bad; younger rows are left out of training, "
            "and only they are acted upon: the outcome of the older is known. None: rows of any age are acted upon"
        ),
    )
    positive: bool | int | float | str | None = Field(
        default=None, description="binary: the value that is the event to act upon; default: true, 1 or the rarer one"
    )
    at_most: float | None = Field(
        default=None, description="numbers above count as this: a remaining life that is still long is just long"
    )
    unit: str = Field(default="", description="unit of the target, for people")


class Split(Part):
    """How the hold-out and the inner folds are cut: time-forward by group where there is time and group.

    Or as a column says, where others have fixed the hold-out before (a published protocol, a test campaign).
    """

    part: str | None = Field(
        default=None, description="column that says which rows are held out, whatever their time; none: the rules above"
    )
    holdout_parts: list[str] = Field(default_factory=list, description="values of `part` that are held out")

    @model_validator(mode="after")
    def _part_and_values(self) -> Split:
        if (self.part is None) != (not self.holdout_parts):
            msg = "split.part names the column and split.holdout_parts its values that are held out: write both or none"
            raise ValueError(msg)
        return self

    time: str | None = Field(default=None, description="column: the moment the solution acts for this entity")
    group: str | None = Field(
        default=None,
        description="column: lot, batch, failure event; cut in two only where groups last over the whole period",
    )
    holdout_ratio: float = Field(
        default=0.2, gt=0.0, lt=0.6, description="share of the rows kept for judging, the latest"
    )
    folds: int = Field(
        default=3, ge=1, le=10, description="inner folds of the search, each later than what it learns from"
    )


class Costs(Part):
    """Cost of each outcome per entity, in `unit`; `matrix[actual][decided]` for multiclass."""

    false_positive: float = Field(default=0.0, description="acted upon in vain")
    false_negative: float = Field(default=0.0, description="missed")
    true_positive: float = Field(default=0.0, description="acted upon rightly")
    true_negative: float = Field(default=0.0, description="rightly left alone")
    matrix: dict[str, dict[str, float]] | None = Field(default=None, description="multiclass: cost by actual, decided")
    unit: str = Field(default="US$", description="unit of the costs")


class Baseline(Part):
    """A naive prediction that already stands in the table, such as the standard cost."""

    column: str | None = Field(default=None, description="column that holds it; none: only the built-in baselines")
    table: str | None = Field(default=None, description="table joined on the keys; None: the feature table")


class Search(Part):
    """The search's budget, in trials so that a seed means something."""

    trials: int = Field(default=20, ge=1, le=1000, description="trials of a full search (weekly, on drift, `--search`)")
    refit_trials: int = Field(default=3, ge=1, le=100, description="warm-started trials of an ordinary night")
    max_rounds: int = Field(default=300, ge=10, le=5000, description="boosting rounds at most")
    early_stopping_rounds: int = Field(default=30, ge=5, description="rounds without gain after which a fit stops")
    max_rows: int = Field(default=40_000, ge=100, description="newest rows the trials use; the final fit uses all")
    libraries: list[Library] = Field(
        default=["lightgbm", "xgboost", "linear"], min_length=1, description="learners that the search tries"
    )
    members: int = Field(
        default=1,
        ge=1,
        le=50,
        description="best trials, of different parameters, whose fits are averaged; each costs a fit and scoring time",
    )
    seed: int = Field(default=7, description="seed of search, folds and bootstrap")


class Gates(Part):
    """Limits that a challenger must keep. Each default is on; ratios in [0, 1]."""

    min_holdout_rows: int = Field(default=30, ge=1, description="fewer rows: the verdict is 'insufficient'")
    min_holdout_groups: int = Field(default=5, ge=2, description="fewer lots: the verdict is 'insufficient'")
    min_holdout_positives: int = Field(
        default=10, ge=1, description="classification: of each class; multiclass: of the second most frequent one"
    )
    min_skill: float = Field(default=0.0, description="regression: 1 - RMSE / RMSE of the lot mean, at least")
    not_worse_margin: float = Field(
        default=0.02, ge=0.0, description="share of the champion's loss; of a saving, its size"
    )
    slice_tolerance: float = Field(default=0.10, ge=0.0, description="share of the reference's loss in the slice")
    min_slice_rows: int = Field(default=200, ge=10, description="smaller slices are not judged")
    max_calibration_error: float = Field(default=0.03, gt=0.0, description="of probabilities, beyond chance")
    max_coverage_gap: float = Field(default=0.05, gt=0.0, description="|coverage - nominal| of the intervals")
    max_seconds_per_1000_rows: float = Field(default=1.0, gt=0.0, description="time limit of scoring")
    leak_score: float = Field(default=0.999, gt=0.5, le=1.0, description="AUC or R2 above this is suspected a leak")
    leak_share: float = Field(default=0.9, gt=0.5, le=1.0, description="share of SHAP one feature may have")
    horizon_nights: int = Field(default=60, ge=1, description="nights over which 5 % false claims are spent")


class MoveTo(Part):
    """The set-point that an answer which acts is to move, and where to."""

    code: str = Field(min_length=1, description="set-point of the control plan; its limits are never left")
    to: str = Field(min_length=1, description="column with the value that it is to be set to")


class Threshold(Action):
    """What follows from a prediction. Binary acts above the cost-optimal threshold."""

    move: MoveTo | None = Field(default=None, description="setpoint_advice: what is moved; else none")

    above: float | None = Field(default=None, description="regression, quantile: acts when the value is above")
    below: float | None = Field(default=None, description="regression, quantile: acts when the value is below")
    classes: list[str] = Field(default_factory=list, description="multiclass: the classes that act")


class Explain(Part):
    """Reasons (tree SHAP) per prediction: how many and for which rows."""

    top_k: int = Field(default=3, ge=0, le=20, description="reasons per row")
    rows: Literal["acting", "sample", "all", "none"] = Field(default="acting", description="rows that get reasons")
    sample_rows: int = Field(default=200, ge=0, description="further rows, seeded, beside those that act")


class PredictiveSpec(LearningSpec):
    """One predictive solution: its question, inputs, target, limits and action."""

    only: dict[str, list[str]] = Field(
        default_factory=dict,
        description="rows that the question is asked of: columns of the table and the values there; none: all rows",
    )
    features: FeatureSelection = Field(default_factory=FeatureSelection, description="columns to learn from")
    sequence: Sequence | None = Field(default=None, description="windows over the past of a sequence; none: rows alone")
    target: Target = Field(description="what is predicted")
    task: Task = Field(description="kind of answer")
    quantiles: list[float] = Field(
        default_factory=lambda: [0.05, 0.5, 0.95], description="quantile: low, middle and high, rising"
    )
    interval_coverage: float = Field(
        default=0.9,
        gt=0.0,
        lt=1.0,
        description="regression: share of the values that the intervals shall hold (quantile: high less low quantile)",
    )
    interval_rate: float = Field(
        default=0.01,
        ge=0.0,
        le=0.5,
        description=(
            "regression: share of a gap in coverage that the label of one independent row takes away once it is known: "
            "more follows a change sooner and scatters more. 0: the intervals stay as they were learnt"
        ),
    )
    split: Split = Field(default_factory=Split, description="how hold-out and folds are cut")
    costs: Costs | None = Field(
        default=None, description="classification: what a decision costs; sets the threshold unless `metric` is f1"
    )
    baseline: Baseline = Field(default_factory=Baseline, description="a prediction of today's practice to be beaten")
    slices: list[str] = Field(default_factory=list, description="columns in whose values no part may fall behind")
    metric: str | None = Field(
        default=None, description="shown first; default roc_auc, macro_f1, rmse or pinball, by the task"
    )
    monotone: Literal["plan", "none"] = Field(
        default="none", description="`plan`: signs that the control plan knows bind the trees"
    )
    search: Search = Field(default_factory=Search, description="budget of the search")
    train_on: Literal["machine", "dask"] = Field(
        default="machine",
        description=(
            "where the final fit is: this machine, or the workers of a Dask cluster, each of which reads its part of "
            "the rows; then this machine reads the features of the hold-out and of the newest `search.max_rows` alone"
        ),
    )
    gates: Gates = Field(default_factory=Gates, description="limits a challenger must keep")
    action: Threshold = Field(default_factory=Threshold, description="what follows from an answer")
    explain: Explain = Field(default_factory=Explain, description="reasons per prediction")

    _rising = field_validator("quantiles")(three_rising)

    @model_validator(mode="after")
    def _consistent(self) -> PredictiveSpec:
        if self.target.column in self.keys:
            msg = f"the target '{self.target.column}' is also a key"
            raise ValueError(msg)
        if self.target.known_at and self.split.time and self.target.delay_h is None:
            msg = (
                "target.delay_h is missing: the hours after split.time by which every label has come. Labels that come "
                "early are no fair sample (a scrapped cell is known before a good one), so younger rows are left out"
            )
            raise ValueError(msg)
        if self.target.delay_h is not None and not self.split.time:
            msg = "target.delay_h counts from split.time, which is missing"
            raise ValueError(msg)
        if self.costs is not None and self.task in ("regression", "quantile"):
            msg = f"costs belong to classification; the task is {self.task}"
            raise ValueError(msg)
        if self.costs is not None and (self.costs.matrix is not None) != (self.task == "multiclass"):
            msg = "costs.matrix is for multiclass, and multiclass costs need it"
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _advice_moves(self) -> PredictiveSpec:
        if (self.action.kind == "setpoint_advice") != (self.action.move is not None):
            msg = f"action.move and action.kind setpoint_advice go together; the kind is {self.action.kind}"
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _parts_stand_alone(self) -> PredictiveSpec:
        if self.train_on == "dask" and self.sequence is not None:
            msg = "train_on: dask reads rows by parts, and the windows of a sequence reach over them; write machine"
            raise ValueError(msg)
        if self.train_on == "dask" and self.task == "quantile":
            msg = (
                "train_on: dask has no task quantile: both libraries take the mean of the parts' quantiles in each leaf"
            )
            raise ValueError(msg)
        if self.train_on == "dask" and set(self.search.libraries) == {"linear"}:
            msg = "train_on: dask needs lightgbm or xgboost among search.libraries; linear is not fitted by parts"
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _metric_is_there(self) -> PredictiveSpec:
        if self.metric is not None and self.metric not in self.metrics:
            msg = f"task {self.task} has no metric '{self.metric}'; it has {', '.join(self.metrics)}"
            raise ValueError(msg)
        return self

    @property
    def tables(self) -> list[str]:
        """Features, labels and baseline."""
        return [name for name in dict.fromkeys((self.table, self.target.table, self.baseline.table)) if name]

    @property
    def roles(self) -> dict[str, str]:
        """Columns that have another part to play than that of a feature."""
        roles = super().roles
        roles[self.target.column] = "the target"
        if self.target.known_at:
            roles[self.target.known_at] = "when the target became known"
        if self.split.time:
            roles[self.split.time] = "time of the split"
        for column, role in ((self.split.part, "part of the split"), (self.split.group, "group of the split")):
            if column:
                roles.setdefault(column, role)
        return roles

    @property
    def named_columns(self) -> list[str]:
        """Columns of the feature table that the YAML names outright."""
        target = [self.target.column, self.target.known_at] if self.target.table in (None, self.table) else []
        names = [*super().named_columns, *self.only, *target, self.split.time, self.split.group, *self.slices]
        return [name for name in dict.fromkeys(names) if name is not None]

    @property
    def acts_within_h(self) -> float | None:
        """A row whose label has come is not acted upon any more."""
        return self.target.delay_h

    def over(self, relations: dict[str, str], domain: str) -> Self:
        """The same solution over other relations: features, labels and baseline."""

        def renamed(table: str | None) -> str | None:
            return None if table is None else relations.get(table, table)

        target = self.target.model_copy(update={"table": renamed(self.target.table)})
        baseline = self.baseline.model_copy(update={"table": renamed(self.baseline.table)})
        return super().over(relations, domain).model_copy(update={"target": target, "baseline": baseline})

    @property
    def is_classification(self) -> bool:
        """Whether the target is a class."""
        return self.task in ("binary", "multiclass")

    @property
    def nominal_coverage(self) -> float:
        """Share of the values, in (0, 1), that the intervals promise to hold; quantiles promise what lies between."""
        between = round(self.quantiles[2] - self.quantiles[0], 12)  # 0.95 - 0.05 is 0.9 for people
        return between if self.task == "quantile" else self.interval_coverage

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the metrics that the hold-out gets, as `models.evaluation.metrics` computes them."""
        names = _METRICS[self.task]
        return (*names, "expected_cost" if self.costs else "error_rate") if self.is_classification else names

    @property
    def primary_metric(self) -> str:
        """Metric shown first; lower or higher is better as `models.evaluation.metrics` says."""
        return self.metric or self.metrics[0]
