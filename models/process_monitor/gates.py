"""The gates of a monitor, each a function of figures."""

from __future__ import annotations

from models.evaluation.bootstrap import paired_mean
from models.gates.checks import claims_better
from models.gates.verdict import Gate
from models.process_monitor.evaluation import Judged
from models.process_monitor.spec import MonitorSpec
from models.spec import Gates
from pipelines.charts.gauge import GaugeStudy


def holdout_gate(spec: MonitorSpec, judged: Judged) -> Gate:
    """Whether the hold-out can tell at all."""
    rows, least = int(judged.good.sum()), spec.gates.min_holdout_rows
    sentence = f"there are {rows} later good rows"
    return Gate("holdout", rows >= least, sentence if rows >= least else f"{sentence} of {least}", {"rows": rows})


def rate_gate(spec: MonitorSpec, judged: Judged) -> Gate:
    """The false-alarm rate is within the budget, unless chance alone could bring it there."""
    figure, budget = judged.metrics["false_alarm_rate"], spec.gates.max_rate_ratio * spec.false_alarm_rate
    figures = {"rate": figure.value, "low": figure.low, "high": figure.high, "budget": budget}
    sentence = (
        f"{100 * figure.value:.2f} % of the later good rows are in alarm "
        f"(95 % {100 * figure.low:.2f} to {100 * figure.high:.2f}), budget {100 * budget:.2f} %"
    )
    return Gate("false_alarms", not figure.low > budget, sentence, figures)


def baseline_gate(spec: MonitorSpec, judged: Judged) -> Gate:
    """Faults are found better than by a chart per variable at the same rate, with the paired interval above zero."""
    if not judged.faulty.any():
        return Gate("beats_baseline", True, "no row is known to be faulty: detection cannot be judged")
    faulty = judged.faulty
    missed = {name: 1.0 - judged.alarms[name][faulty] for name in ("acting", "shewhart")}
    gain = paired_mean(missed["acting"], missed["shewhart"], judged.span[faulty], spec.seed)
    low, high = gain.interval
    figures = {"gain": gain.mean, "low": low, "high": high, "shewhart": 1 - gain.reference}
    sentence = (
        f"finds {100 * gain.mean:.1f} points more than a chart per variable (95 % {100 * low:.1f} to {100 * high:.1f})"
    )
    return Gate("beats_baseline", low > 0, sentence, figures)


def champion_gate(spec: MonitorSpec, own: Judged, other: Judged, champion: str) -> tuple[Gate, bool]:
    """Judges rows rightly no less often than the champion, at one-sided 95 %; and whether it is better."""
    told = own.good | own.faulty
    wrong = {
        name: (judged.alarms["acting"] != judged.faulty)[told].astype(float)
        for name, judged in (("own", own), ("other", other))
    }
    gain = paired_mean(wrong["own"], wrong["other"], own.span[told], spec.seed)
    low, floor = gain.lower_bound(0.05), -spec.gates.not_worse_margin
    is_better = claims_better(gain, Gates())
    figures = {"gain": gain.mean, "low": low, "margin": floor, "champion_loss": gain.reference, "is_better": is_better}
    if low >= floor:
        word = "better than" if is_better else "not worse than"
        return Gate("not_worse", True, f"{word} champion {champion}", figures), is_better
    sentence = (
        f"may be worse than champion {champion}: judges {100 * gain.mean:.2f} points more rows rightly, "
        f"at 95 % not below {100 * low:.2f}, allowed {100 * floor:.2f}"
    )
    return Gate("not_worse", False, sentence, figures), False


def speed_gate(spec: MonitorSpec, judged: Judged) -> Gate:
    """Measures within its time limit; few rows are charged as 1,000."""
    each, limit = judged.seconds * 1000 / max(judged.rows, 1000), spec.gates.max_seconds_per_1000_rows
    sentence = f"{each:.4f} s per 1,000 rows, allowed {limit} s"
    return Gate("speed", each <= limit, sentence, {"seconds": each, "limit": limit})


def gauge_gate(gauges: dict[str, GaugeStudy]) -> Gate:
    """No chart stands on a gauge that takes more of the tolerance than AIAG lets pass."""
    ratios = {name: each.of_tolerance_ratio or each.of_total_ratio for name, each in gauges.items()}
    bad = [name for name, each in gauges.items() if each.verdict == "reject"]
    told = ", ".join(f"{name} {100 * ratio:.0f} % ({gauges[name].verdict})" for name, ratio in ratios.items())
    return Gate("gauge", not bad, f"repeatability and reproducibility of the tolerance: {told}", ratios)
