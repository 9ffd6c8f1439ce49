"""The plan in words: each figure beside the sum that it comes from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from orchestration.bench.report import markdown
from orchestration.scale.plan import SHARED, SITES
from orchestration.scale.stages import FOUNDATION, SOLUTIONS

_OF_SITES = """- Sites share nothing: each has its code location, its home (or databases and prefix), its lock and its
  night. Ten sites are ten times one, and a site that fails stops no other. On Kubernetes cores and GiB of a row are
  what all its runs may ask for together (`resources` of a solution), not those of one node.
"""


_OF_NAMES = """A control point's number is a hash of 31 bits. Where two of a site have the same one, the message names
all such pairs with the lines that `point_numbers` of site.yaml lacks: one of each is given another number, for good. No
machine has to be renamed, no other point's number changes. The chance is 1 - exp(-n^2 / 2^32), the pairs n^2 / 2^32:
"""
_OF_GIVEN = """
Sites do not share numbers.
"""


def planned(told: Mapping[str, Any]) -> list[str]:
    """Paragraphs of the plan; one that says why there is none where a stage was not measured with every size."""
    if not told["plan"]:
        return ["## Beyond\n", "No plan: a stage that a night needs was not measured with every number of lines.\n"]
    return [
        "## Beyond\n",
        _assumed(told),
        _nights(told),
        _of_nights(told),
        "### Where this machine ends\n",
        _memory(told),
        _night(told),
        "### Machines\n",
        markdown(
            ("layout", "machines", "cores", "GiB", "instance"), [_layout(each) for each in told["plan"]["machines"]]
        ),
        "",
        *_sums(told),
        _OF_SITES,
        "### Disk\n",
        _disk(told),
        "### Names\n",
        _names(told),
    ]


def _assumed(told: Mapping[str, Any]) -> str:
    assumed, most = told["plan"]["assumed"], max(told["size"]["lines"])
    return (
        f"Beyond {most} lines a figure is figure({most}) x (lines / {most})^p. Assumed, not measured: a night may take "
        f"{_time(assumed['night_s'])}, a stage may hold {assumed['memory_share']:.0%} of the memory, and solutions "
        f"side by side keep {assumed['busy_share']:.0%} of the cores busy.\n"
    )


def _nights(told: Mapping[str, Any]) -> str:
    measured = told["size"]["lines"]
    head = ("lines", "", "data s", "a solution, CPU s", "night", "peak GiB, data", "peak GiB, a solution")
    rows = [
        [
            str(each["lines"]),
            "measured" if each["lines"] in measured else "planned",
            f"{each['data_s']:,.0f}",
            f"{each['learn_cpu_s']:,.1f}",
            _time(each["night_s"]),
            f"{each['data_gib']:.2f}",
            f"{each['learn_gib']:.2f}",
        ]
        for each in told["plan"]["nights"]
    ]
    return markdown(head, rows)


def _of_nights(told: Mapping[str, Any]) -> str:
    assumed, cores = told["plan"]["assumed"], told["machine"]["cores"]
    return (
        f"\nData: {', '.join(FOUNDATION)}, one after the other, as measured on {cores} cores. A solution: training and "
        f"scoring, the mean CPU seconds of the {len(SOLUTIONS)} measured, as if all {assumed['solutions']} were like "
        f"these (most learn from fewer rows, some learn nothing) and as large as the largest. "
        f"Night = data + {assumed['solutions']} x a solution / "
        f"({cores} cores x {assumed['busy_share']:g}).\n"
    )


def _memory(told: Mapping[str, Any]) -> str:
    first, machine, most = told["plan"]["outgrown"]["memory"], told["machine"], max(told["size"]["lines"])
    if first["lines"] is None:
        return "- Memory: no stage's peak grows with the lines."
    share = told["plan"]["assumed"]["memory_share"]
    beside = f" / {first['beside']} solutions side by side" if first["beside"] > 1 else ""
    return (
        f"- Memory: `{first['stage']}` is first, with {first['lines']:,.0f} lines: {most} x ({share:g} x "
        f"{machine['memory_gib']:g} GiB{beside} / {first['peak_gib']:.2f} GiB)^(1 / {first['exponent']:.2f})."
    )


def _night(told: Mapping[str, Any]) -> str:
    end, window = told["plan"]["outgrown"]["night"], _time(told["plan"]["assumed"]["night_s"])
    if end["lines"] is None:
        return f"- Time: every night that was tried ends within {window}.\n"
    return (
        f"- Time: with {end['lines']:,} lines a first night still ends within {window}, with one more it does not; "
        f"then {end['stage']} takes the largest part of it, {end['share']:.0%}.\n"
    )


def _layout(each: Mapping[str, Any]) -> list[str]:
    instance = each["instance"]
    if instance is None:
        return [each["layout"], str(each["machines"]), "-", "-", "none: its data alone take longer than a night may"]
    told = f"{instance['cores']} cores, {instance['gib']} GiB"
    return [each["layout"], str(each["machines"]), str(each["cores"]), f"{each['gib']:.1f}", told]


def _sums(told: Mapping[str, Any]) -> Iterator[str]:
    """How cores and memory of the layouts come about, with their figures."""
    plan = told["plan"]
    assumed = plan["assumed"]
    for each in plan["machines"]:
        night = each["night"]
        if each["layout"] == SHARED:
            cpu_s = night["data_cpu_s"] + assumed["solutions"] * night["learn_cpu_s"]
            yield (
                f"- {each['layout']}: {SITES} x {cpu_s:,.0f} CPU s / ({assumed['night_s']:,.0f} s x "
                f"{assumed['busy_share']:g}) = {each['exact']:.2f} cores, at least 2; a night on each, "
                f"{each['beside']} x {max(night['data_gib'], night['learn_gib']):.2f} GiB "
                f"/ {assumed['memory_share']:g} = {each['gib']:.1f} GiB."
            )
        elif each["machines"] == 1 and each["cores"]:
            yield (
                f"- {each['layout']}: {assumed['solutions']} x {night['learn_cpu_s']:.1f} CPU s / "
                f"(({assumed['night_s']:,.0f} - {night['data_s']:,.0f}) s x {assumed['busy_share']:g}) = "
                f"{each['exact']:.2f} cores, at least 2; the larger of {night['data_gib']:.2f} GiB and "
                f"{each['cores']} x {night['learn_gib']:.2f} GiB, "
                f"/ {assumed['memory_share']:g} = {each['gib']:.1f} GiB."
            )


def _disk(told: Mapping[str, Any]) -> str:
    disk = told["plan"]["disk"]
    by_minute, other = disk["by_minute_bytes"] / 1e6, disk["other_bytes"] / 1e6
    year_gb = (by_minute + other) * 365 / 1e3
    return (
        f"A line's day is {by_minute:.1f} MB of values by the minute (raw and staged) and {other:.1f} MB of all else. "
        f"With every day by the minute: ({by_minute:.1f} + {other:.1f}) MB x 365 = {year_gb:,.1f} GB a year, ten lines "
        f"{10 * year_gb / 1e3:.2f} TB. Superseded files and backups come on top.\n"
    )


def _names(told: Mapping[str, Any]) -> str:
    clash = told["plan"]["clash"]
    rows = [[f"{each['points']:,}", f"{each['chance']:.1%}", f"{each['pairs']:.2g}"] for each in clash]
    return "\n".join((_OF_NAMES, markdown(("control points", "some are alike", "pairs to expect"), rows), _OF_GIVEN))


def _time(seconds: float) -> str:
    return f"{seconds / 60:,.1f} min" if seconds < 7200 else f"{seconds / 3600:,.1f} h"
