"""The causal graph and the scenarios of a site's twin.yaml, read and checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from pipelines.control_plan.errors import CellworksError
from pipelines.control_plan.site import Site
from pipelines.twin.parameters import FILE, Parameters, parameters_of, read_mapping, without_source
from pipelines.twin.telemetry_causes import TelemetrySigns, refuse_unknown_signs

HUMIDITY = "outdoor_humidity"  # the season and the day's weather, in standard deviations


@dataclass(frozen=True)
class Node:
    """A characteristic of the causal graph, or a hidden cause when it has a level; see `nodes` in twin.yaml.

    Attributes:
        parents: standardised effects of other nodes.
        own: what the entity itself adds.
        machine: what the machine or position adds.
        wear: entities that a tool lasts; negative when wear lowers the value; 0 without a tool.
        spread: standard deviation in the unit; None for what the plan's capability implies.
        lognormal: standard deviation of the logarithm; 0 for a normal value.
        level: of a hidden cause, or coarser than the characteristic's own (`tray`, `bake_batch`).
        hinge: only what exceeds this many standard deviations acts; None for a straight line.
        noise_by: nodes that widen (+) or narrow (-) what the entity itself adds.
        bias: effects on what the gauge shows, not on the value, per standard deviation of a node, in deviations.
        bias_machine: lasting error of each machine's gauge, in standard deviations of the value.
    """

    parents: Mapping[str, float] = field(default_factory=dict)
    own: float = 0.0
    machine: float = 0.0
    wear: float = 0.0
    spread: float | None = None
    lognormal: float = 0.0
    level: str = ""
    hinge: float | None = None
    noise_by: Mapping[str, float] = field(default_factory=dict)
    bias: Mapping[str, float] = field(default_factory=dict)
    bias_machine: float = 0.0


@dataclass(frozen=True)
class Scenario:
    """What goes wrong, and when.

    Attributes:
        from_day: first production day, counted from 0; until_day is the first one after it, None for never.
        shift: standardised shifts of values. ramp: shifts that grow by so much a day.
        bias: shifts of what a gauge shows, in standard deviations. bias_ramp: those that grow by so much a day.
        machine_id: the only machine that it is about; empty for all.
        unit_error: characteristic delivered in a unit a thousand times as large.
        stuck: characteristic whose gauge shows the same value for ever.
        missing: feed of which the first record of the day is never delivered.
        duplicated: feed of which the first record of the day is delivered twice, under two different values.
    """

    name: str = "baseline"
    title: str = ""
    from_day: int = 0
    until_day: int | None = None
    shift: Mapping[str, float] = field(default_factory=dict)
    ramp: Mapping[str, float] = field(default_factory=dict)
    bias: Mapping[str, float] = field(default_factory=dict)
    bias_ramp: Mapping[str, float] = field(default_factory=dict)
    machine_id: str = ""
    unit_error: str = ""
    stuck: str = ""
    missing: str = ""
    duplicated: str = ""

    def is_on(self, day: int) -> bool:
        """Whether it acts on a production day."""
        return day >= self.from_day and (self.until_day is None or day < self.until_day)


@dataclass(frozen=True)
class Graph:
    """twin.yaml of a site."""

    parameters: Parameters
    nodes: Mapping[str, Node]
    generic: Node
    loss_drivers: Mapping[str, Mapping[str, float]]
    health_signs: Mapping[str, tuple[float, float]]
    scenarios: Mapping[str, Scenario]
    telemetry: TelemetrySigns


def load_graph(site: Site) -> Graph:
    """Read twin.yaml of a site.

    Raises:
        CellworksError: unreadable, numbers without a source, or it names what the control plan lacks.
    """
    file = site.file(FILE)
    data = read_mapping(file)
    parameters = parameters_of(data, file)
    nodes = {code: _made(Node, entry, f"{file}: nodes.{code}", ("link",)) for code, entry in _part(data, "nodes", file)}
    _refuse_unknown(nodes, site, file)
    scenarios = {
        name: _made(Scenario, {"name": name, **entry}, f"{file}: scenarios.{name}", ())
        for name, entry in _part(data, "scenarios", file)
    }
    for each in scenarios.values():
        _refuse_impossible(each, site, file)
    signs = TelemetrySigns(dict(_part(data, "telemetry_causes", file)), parameters.under("telemetry.rest"))
    refuse_unknown_signs(signs, site, {HUMIDITY, *(code for code, node in nodes.items() if node.level)}, file)
    return Graph(
        parameters=parameters,
        nodes=nodes,
        generic=Node(own=parameters("generic.own"), machine=parameters("generic.machine")),
        loss_drivers=dict(_part(data, "scrap_drivers", file)),
        health_signs={name: (entry["wear"], entry["warning"]) for name, entry in _part(data, "health_signs", file)},
        scenarios=scenarios,
        telemetry=signs,
    )


def scenario_of(graph: Graph, name: str, file: Path) -> Scenario:
    """A scenario by its name.

    Raises:
        CellworksError: there is none; it lists those that there are.
    """
    if name not in graph.scenarios:
        listed = "".join(f"\n    {each.name}: {each.title}" for each in graph.scenarios.values())
        raise CellworksError(
            f"there is no scenario '{name}'",
            expected=f"one of{listed}",
            found=name,
            mend="take one of these with --scenario, or add yours to the file",
            where=str(file),
        )
    return graph.scenarios[name]


_T = TypeVar("_T", Node, Scenario)


def _made(kind: type[_T], entry: Mapping[str, Any], where: str, notes: tuple[str, ...]) -> _T:
    names = [each.name for each in fields(kind)]
    if unknown := sorted(set(entry) - set(names) - set(notes)):
        raise CellworksError(
            "a key of twin.yaml is not known", where=where, found=", ".join(unknown), expected=", ".join(names)
        )
    return kind(**{name: value for name, value in entry.items() if name in names})


def _part(data: Mapping[str, Any], key: str, file: Path) -> list[tuple[str, dict[str, Any]]]:
    """Entries of a part by name, each with the source of its numbers checked and taken off."""
    entries = (data.get(key) or {}).items()
    return [(name, without_source(entry or {}, f"{file}: {key}.{name}")) for name, entry in entries]


def _refuse_unknown(nodes: Mapping[str, Node], site: Site, file: Path) -> None:
    known = {*site.plan.by_code, HUMIDITY, *(code for code, node in nodes.items() if node.level)}
    for code, node in nodes.items():
        named = {code, *node.parents, *node.noise_by, *node.bias}
        if unknown := sorted(named - known):
            raise CellworksError(
                "the twin's causal graph names characteristics that the control plan lacks",
                found=", ".join(unknown),
                where=f"{file}: nodes.{code}",
                mend="correct the code, add the row to control_plan.csv, or give a hidden cause its level",
            )


def _refuse_impossible(scenario: Scenario, site: Site, file: Path) -> None:
    codes = [*scenario.shift, *scenario.ramp, *scenario.bias, *scenario.bias_ramp, scenario.unit_error, scenario.stuck]
    machines = site.machines_by_id
    lost = [code for code in codes if code and code not in site.plan.by_code]
    lost += [feed for feed in (scenario.missing, scenario.duplicated) if feed and feed not in site.feeds]
    if scenario.machine_id and not lost:
        classes = {site.plan.by_code[code].machine_class for code in codes if code}
        known = scenario.machine_id in machines and classes == {machines[scenario.machine_id].machine_class}
        lost += [] if known else [scenario.machine_id]
    if lost:
        raise CellworksError(
            "a scenario names what the site lacks",
            found=", ".join(lost),
            expected="codes of control_plan.csv, feeds of feeds.yaml, a machine that makes these values",
            where=f"{file}: scenarios.{scenario.name}",
        )
