"""The families of solutions: for each what its YAML is read into, what learns, judges, scores and watches, its checks.

Everything above `models` (the night, assets, sensors, the command line) asks here and knows no family by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Literal, Protocol, cast

from models.anomaly_detector.spec import AnomalySpec
from models.assistant.spec import AssistantSpec
from models.decision_rule.spec import DecisionSpec
from models.forecast.spec import ForecastSpec
from models.indicator.spec import IndicatorSpec
from models.optimizer.spec import OptimizerSpec
from models.process_monitor.spec import MonitorSpec
from models.solution import SolutionSpec
from models.spec import PredictiveSpec
from models.survival_model.spec import SurvivalSpec
from models.traceability.spec import TraceSpec

if TYPE_CHECKING:
    from models.context import ModelContext
    from models.drift.monitor import MonitorReport
    from models.evaluation.bootstrap import Interval
    from models.gates.verdict import Verdict
    from models.scoring.score import ScoreReport
    from models.tuning.objective import Asked

Part = Literal["model", "predictions", "monitoring"]


class Trained(Protocol):
    """What a training leaves: a registered challenger and its figures.

    Attributes:
        version: Version number in the registry.
        run_id: MLflow run.
        library: What it was made with.
        trials: Trials made.
        rows_development: Rows learnt from.
        rows_holdout: Later rows it is judged on.
        primary: Name of the primary metric.
        metrics: Each metric on the hold-out with its interval.
        baselines: Primary metric of each baseline.
        best_baseline: The one that the gate compares with.
        notes: Remarks.
        seconds: Wall seconds by phase and `total`.
    """

    version: str
    run_id: str
    library: str
    trials: int
    rows_development: int
    rows_holdout: int
    primary: str
    metrics: dict[str, Interval]
    baselines: dict[str, float]
    best_baseline: str
    notes: list[str]
    seconds: dict[str, float]


@dataclass(frozen=True)
class Family:
    """One family.

    Attributes:
        component: Name of its Component class, which a `defs.yaml` names as its type.
        spec: What its YAML is read into.
        checks: Asset checks by the part of the solution they belong to, with a sentence each; the parts that it has, in
            the order of a night.
        functions: Where training, judging, scoring and watching are, as `module:function`; imported on first use, for
            they bring the libraries of learning. A family that learns nothing only scores; one that searches over
            trials says what it asks, so that others can help.
    """

    component: str
    spec: type[SolutionSpec]
    checks: Mapping[Part, Mapping[str, str]]
    functions: Mapping[Literal["train", "judge", "score", "monitor", "asked"], str]

    @property
    def parts(self) -> tuple[Part, ...]:
        """What a solution of it consists of, in the order of a night."""
        return tuple(self.checks)

    @property
    def answering(self) -> tuple[Part, ...]:
        """What follows new rows without learning anew."""
        return tuple(part for part in self.parts if part != "model")

    @property
    def learns(self) -> bool:
        """Whether there are versions in the registry; else the rule in the YAML is the version."""
        return "model" in self.parts

    @property
    def searches(self) -> bool:
        """Whether its training is a search over trials, which other workers may join."""
        return "asked" in self.functions

    def asked(self, spec: SolutionSpec, ctx: ModelContext) -> Asked:
        """What the search of a solution asks, for a worker that helps.

        Raises:
            CellworksError: nothing can be learnt from the table.
        """
        return cast("Asked", resolve_name(self.functions["asked"])(spec, ctx))

    def train(self, spec: SolutionSpec, ctx: ModelContext) -> Trained:
        """Learn and register a challenger; nothing is promoted.

        Raises:
            NotYetError: what it learns from is still to come.
            CellworksError: nothing can be learnt from the table.
        """
        return cast("Trained", resolve_name(self.functions["train"])(spec, ctx))

    def judge(self, spec: SolutionSpec, ctx: ModelContext, challenger: Trained | str) -> Verdict:
        """Judge what `train` returned, or a version by its number, and write the sealed verdict on it.

        Raises:
            NotYetError: what it is judged on is still to come.
        """
        return cast("Verdict", resolve_name(self.functions["judge"])(spec, ctx, challenger))

    def score(self, spec: SolutionSpec, ctx: ModelContext) -> ScoreReport:
        """Answer with the champion, or by the rule, for every row that waits for it, into `solutions.<slug>`."""
        return cast("ScoreReport", resolve_name(self.functions["score"])(spec, ctx))

    def monitor(self, spec: SolutionSpec, ctx: ModelContext) -> MonitorReport:
        """Watch the champion: drift at once, live skill as what really happened becomes known."""
        return cast("MonitorReport", resolve_name(self.functions["monitor"])(spec, ctx))


MODEL_CHECKS = {
    "holdout": "The later hold-out has enough lots and positives to tell.",
    "leak": "No score too good to be true, no single feature that explains all but everything.",
    "beats_baseline": "Better than the naive baselines on the later hold-out, interval above zero.",
    "not_worse": "Not worse than the champion on the same frozen hold-out.",
    "slices": "No line, supplier, shift or product falls behind by more than the tolerance.",
    "calibration": "Probabilities or intervals are calibrated.",
    "speed": "Scores within its time limit.",
    "inputs": "What it was trained on passed its checks.",
}
"""What a family's gates are called where they mean the same; one that does not apply is left out by the family."""

ANSWER_CHECKS = {"champion_is_cleared": "The version that scored has a passing verdict or a signed override."}

WATCH_CHECKS = {
    "live_skill": "Skill on labels that arrived after scoring.",
    "input_drift": "Drift of the inputs since training.",
    "score_drift": "Drift of the predictions since training.",
}

PREDICTIVE_MODEL = Family(
    "PredictiveModel",
    PredictiveSpec,
    {"model": MODEL_CHECKS, "predictions": ANSWER_CHECKS, "monitoring": WATCH_CHECKS},
    {
        "train": "models.train:train",
        "judge": "models.gates.judge:judge",
        "score": "models.scoring.score:score",
        "monitor": "models.drift.monitor:monitor",
        "asked": "models.ground:asked",
    },
)

PROCESS_MONITOR = Family(
    "ProcessMonitor",
    MonitorSpec,
    {
        "model": {
            "holdout": "There are enough later good rows to tell how often it alarms in vain.",
            "false_alarms": "On later good rows it alarms no more often than its budget allows, beyond chance.",
            "beats_baseline": "Where faults become known: finds more than a chart per variable at the same rate.",
            "gauge": "No studied gauge takes more than 30 % of its tolerance.",
            "not_worse": "Not worse than the champion on the same later rows.",
            "speed": MODEL_CHECKS["speed"],
            "inputs": MODEL_CHECKS["inputs"],
        },
        "predictions": ANSWER_CHECKS,
        "monitoring": {"live_skill": "The false-alarm rate on later good rows stays within its budget."},
    },
    {
        "train": "models.process_monitor.family:train",
        "judge": "models.process_monitor.family:judge",
        "score": "models.process_monitor.family:score",
        "monitor": "models.process_monitor.family:monitor",
    },
)

SURVIVAL_MODEL = Family(
    "SurvivalModel",
    SurvivalSpec,
    {
        "model": {
            **MODEL_CHECKS,
            "concordance": "Tells which life ends first often enough, above what its age alone tells.",
            "policy": "Acting on it costs less per unit of life than running to failure and than a fixed interval.",
        },
        "predictions": ANSWER_CHECKS,
        "monitoring": WATCH_CHECKS,
    },
    {
        "train": "models.survival_model.family:train",
        "judge": "models.survival_model.family:judge",
        "score": "models.survival_model.family:score",
        "monitor": "models.survival_model.family:monitor",
        "asked": "models.survival_model.fitting:asked",
    },
)

ANOMALY_DETECTOR = Family(
    "AnomalyDetector",
    AnomalySpec,
    {
        "model": {
            "holdout": "The later part is long enough to tell.",
            "alarm_rate": "Alarms on the later part are within the budget, by their interval.",
            "beats_baseline": "Finds what is put in sooner than a Shewhart chart that alarms as often.",
            "events": "Known events are told no later than by a Shewhart chart.",
            "not_worse": MODEL_CHECKS["not_worse"],
            "speed": MODEL_CHECKS["speed"],
            "inputs": MODEL_CHECKS["inputs"],
        },
        "predictions": ANSWER_CHECKS,
        "monitoring": {**WATCH_CHECKS, "live_skill": "Alarms since the reference ends are within the budget."},
    },
    {
        "train": "models.anomaly_detector.train:train",
        "judge": "models.anomaly_detector.judge:judge",
        "score": "models.anomaly_detector.score:score",
        "monitor": "models.anomaly_detector.monitor:monitor",
    },
)

FORECAST = Family(
    "Forecast",
    ForecastSpec,
    {
        "model": {
            "holdout": "Forecasts made after the cut reach all steps ahead, over enough time to tell.",
            "beats_baseline": "Loses less than the season before, by weighted quantile loss, interval above zero.",
            "calibration": "Intervals hold the share that they promise.",
            "not_worse": MODEL_CHECKS["not_worse"],
            "speed": MODEL_CHECKS["speed"],
            "inputs": MODEL_CHECKS["inputs"],
        },
        "predictions": ANSWER_CHECKS,
        "monitoring": {"live_skill": "Loss of what was forecast and has come since."},
    },
    {
        "train": "models.forecast.train:train",
        "judge": "models.forecast.judge:judge",
        "score": "models.forecast.score:score",
        "monitor": "models.forecast.monitor:monitor",
    },
)

DECISION_RULE = Family(
    "DecisionRule",
    DecisionSpec,
    {
        "predictions": {
            "decided": "Few of the newest rows wait for a decision.",
            "flagged_ratio": "No more of the newest rows are flagged than are thought possible.",
            "stands": "No decision that was told before has changed.",
        }
    },
    {"score": "models.decision_rule.score:score"},
)

INDICATOR = Family(
    "Indicator",
    IndicatorSpec,
    {
        "predictions": {
            "stands": "No answer told before has become another one.",
            "adds_up": "The parts (losses, cost, kinds of alarms) are the whole, at every level.",
            "all_mapped": "Every code in the records (state, pool of cost, priority) is named by the YAML.",
            "plausible": "No figure is what cannot be, such as a machine faster than its ideal cycle.",
            "complete": "Records tell of all but a small share of the time.",
        }
    },
    {"score": "models.indicator.family:score"},
)

TRACEABILITY = Family(
    "Traceability",
    TraceSpec,
    {
        "predictions": {
            "stands": "No answer told before has become another one.",
            "valid": "Every passport is as its JSON schema says.",
            "traced": "Every part of every entity can be traced to every material.",
        }
    },
    {"score": "models.traceability.family:score"},
)

OPTIMIZER = Family(
    "Optimizer",
    OptimizerSpec,
    {
        "predictions": {
            "within_limits": "Every proposed set-point is inside the control plan's limits, every plan keeps its own.",
            "within_rate": "No move is larger than the plan allows at once, nor all of the last hour together.",
            "fresh": "Each machine was measured lately.",
            "steady": "No newest run is far from what was expected, no gauge is stuck, no limit is left unsafe.",
            "gain_known": "What a move brings and where set-points stand is known; no plan costs more than its rule.",
        }
    },
    {"score": "models.optimizer.family:score"},
)

ASSISTANT = Family(
    "Assistant",
    AssistantSpec,
    {
        "predictions": {
            "stands": "No answer told before has become another one.",
            "cited": "No sentence was withheld because the rows that it cites say something else.",
            "spoken": "Some row speaks of every period; no more of documents is unread than misprints explain.",
            "understood": "Every line that looks like a value names what a document is to say.",
        }
    },
    {"score": "models.assistant.family:score"},
)

FAMILIES = (
    PREDICTIVE_MODEL,
    PROCESS_MONITOR,
    SURVIVAL_MODEL,
    ANOMALY_DETECTOR,
    FORECAST,
    DECISION_RULE,
    INDICATOR,
    TRACEABILITY,
    OPTIMIZER,
    ASSISTANT,
)


def family_of(spec: SolutionSpec) -> Family:
    """The family of a solution."""
    return next(each for each in FAMILIES if type(spec) is each.spec)


def family_named(component: str) -> Family | None:
    """The family whose Component class has this name; None for any other."""
    return next((each for each in FAMILIES if each.component == component), None)
