"""What must hold between the files of a site: codes, steps, feeds, machines and targets that refer to each other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from pipelines.control_plan.errors import Problem
from pipelines.control_plan.feeds import Feed
from pipelines.control_plan.plan import ANY_MACHINE, ELECTRODES, LABELS, Characteristic, ControlPlan
from pipelines.control_plan.yaml_file import line_of

if TYPE_CHECKING:
    from pipelines.control_plan.site import Site

SITE, FEEDS, PLAN = "site.yaml", "feeds.yaml", "control_plan.csv"


def plan_problems(plan: ControlPlan, feeds: dict[str, Feed], *, is_complete: bool) -> list[Problem]:
    """Problems of rows among themselves, and with steps, machines and feeds.

    Args:
        plan: the rows that are good by themselves.
        feeds: by name.
        is_complete: no row is missing from the plan, so that a code that isn't there is a mistake.
    """
    problems = list(_duplicates(plan.rows))
    targets = {row.code for row in plan.rows} | set(LABELS)
    for row in plan.rows:
        found = [*_step_and_machines(row, plan), *_feed(row, feeds), *(_targets(row, targets) if is_complete else ())]
        problems += [Problem(PLAN, row.line_no, *each) for each in found]
    return problems


def _duplicates(rows: Iterable[Characteristic]) -> Iterator[Problem]:
    first: dict[str, int] = {}
    for row in rows:
        line = first.setdefault(row.code, row.line_no)
        if line != row.line_no:
            reason = f"{row.code!r} is already on line {line}"
            yield Problem(PLAN, row.line_no, "name", reason, "give one of them another name or variant")


def _step_and_machines(row: Characteristic, plan: ControlPlan) -> Iterator[tuple[str, str, str]]:
    if row.step not in plan.steps_by_code:
        yield "step", f"unknown step {row.step!r}", f"use one of {_listed(plan.steps_by_code)}"
    classes = {machine.machine_class for machine in plan.machines}
    if row.machine_class and row.machine_class not in {*classes, ANY_MACHINE}:
        yield (
            "machine_class",
            f"unknown class {row.machine_class!r}",
            f"use one of {_listed(sorted(classes))}",
        )
    elif row.machine_class and not plan.machines_of(row):
        yield (
            "machine_class",
            f"no {row.variant} machine is of class {row.machine_class!r}",
            "add one to site.yaml",
        )
    if row.positions and not row.machine_class:
        yield "positions", "positions without a machine_class", "name the class of machine that has them"
    for name, count in row.positions:
        short = [m.id for m in plan.machines_of(row) if m.positions_by_name.get(name, count) < count]
        if short:
            yield "positions", f"{short[0]} has fewer than {count} of {name!r}", "correct it or site.yaml"


def _feed(row: Characteristic, feeds: dict[str, Feed]) -> Iterator[tuple[str, str, str]]:
    feed = feeds.get(row.feed)
    if feed is None:
        yield "feed", f"unknown feed {row.feed!r}", f"use one of {_listed(feeds)}"
        return
    if row.entity != feed.entity:
        yield (
            "entity",
            f"feed {feed.name} is about {feed.entity}, found {row.entity!r}",
            "correct one of the two",
        )
    if feed.shape == "series" and not row.machine_class:
        yield "machine_class", "a control point by the minute needs a machine", "name its class"
    if feed.has_variant and row.variant not in ELECTRODES:
        yield "variant", f"feed {feed.name} is by electrode, found {row.variant!r}", "use cathode or anode"
    if feed.shape == "wide" and (row.name if feed.has_variant else row.code) in feed.columns:
        yield "name", f"feed {feed.name} has a column of this name already", "choose another name"


def _targets(row: Characteristic, targets: set[str]) -> Iterator[tuple[str, str, str]]:
    for effect in row.effects:
        if effect.target not in targets:
            yield (
                "effects",
                f"unknown target {effect.target!r}",
                f"use a code of the plan or {_listed(LABELS)}",
            )


def site_problems(site: Site, text: str, *, is_complete: bool) -> list[Problem]:
    """Problems of site.yaml with itself and, when the plan is complete, with the plan."""
    found = [*_site_machines(site), *_site_money(site), *_site_sources(site)]
    found += list(_site_grades(site)) if is_complete else []
    return [Problem(SITE, line_of(text, path), ".".join(map(str, path)), reason, mend) for path, reason, mend in found]


def _site_machines(site: Site) -> Iterator[tuple[list[int | str], str, str]]:
    steps, areas = site.plan.steps_by_code, {area.code for area in site.areas}
    seen: set[str] = set()
    for a, area in enumerate(site.areas):
        for n, line in enumerate(area.lines):
            for u, unit in enumerate(line.units):
                path: list[int | str] = ["areas", a, "lines", n, "units", u]
                if unit.step not in steps:
                    yield [*path, "step"], f"unknown step {unit.step!r}", f"use one of {_listed(steps)}"
                if twice := seen & set(unit.machine_ids) or len(unit.machine_ids) != len(set(unit.machine_ids)):
                    yield [*path, "ids"], f"machine ids are there twice: {twice}", "give each machine its own"
                if not unit.machine_ids:
                    yield [*path, "ids"], f"{unit.ids} is an empty range", "write first..last, upwards"
                seen |= set(unit.machine_ids)
    for s, step in enumerate(site.steps):
        if step.area not in areas:
            yield ["steps", s, "area"], f"unknown area {step.area!r}", f"use one of {_listed(sorted(areas))}"
    if len(steps) != len(site.steps):
        yield ["steps"], "a step code is there twice", "give each step its own"


def _site_grades(site: Site) -> Iterator[tuple[list[int | str], str, str]]:
    codes = site.plan.by_code
    for g, grade in enumerate(site.grades):
        for code, limits in grade.limits.items():
            if code not in codes:
                yield ["grades", g, "limits", code], "no characteristic has this code", "see control_plan.csv"
            if limits.min is not None and limits.max is not None and limits.min > limits.max:
                yield (
                    ["grades", g, "limits", code],
                    f"min {limits.min:g} is above max {limits.max:g}",
                    "swap them",
                )


def _site_money(site: Site) -> Iterator[tuple[list[int | str], str, str]]:
    known = site.plan.steps_by_code
    for step in site.standard.steps:
        if step not in known:
            yield ["standard", "steps", step], "unknown step", f"use one of {_listed(known)}"
    for step in site.cost_rates.material_usd_per_cell:
        if step not in site.standard.steps:
            yield (
                ["cost_rates", "material_usd_per_cell", step],
                "no standard of this step",
                "add it to standard.steps",
            )


def _site_sources(site: Site) -> Iterator[tuple[list[int | str], str, str]]:
    folders, names = 0, set[str]()
    for s, source in enumerate(site.sources):
        folders += source.kind == "drop_folder"
        if source.kind == "drop_folder" and folders > 1:  # two files of one name would pass for one that changed
            yield ["sources", s, "kind"], "there is a drop folder already", "let all files arrive in one folder"
        if source.name in names:
            yield ["sources", s, "name"], f"the source {source.name!r} is there twice", "give each its own name"
        names.add(source.name)
        for t, table in enumerate(source.tables):
            if table.feed not in site.feeds:
                yield ["sources", s, "tables", t, "feed"], f"unknown feed {table.feed!r}", "see feeds.yaml"


def feed_problems(site: Site, text: str) -> list[Problem]:
    """Problems of feeds.yaml: sources and references that don't exist."""
    sources = {source.name: source for source in site.sources}
    found: list[tuple[list[int | str], str, str]] = []
    for feed in site.feeds.values():
        source = sources.get(feed.delivery.source)
        path: list[int | str] = ["feeds", feed.name, "delivery"]
        if source is None:
            found.append((path, f"unknown source {feed.delivery.source!r}", f"use one of {_listed(sources)}"))
        elif source.kind == "sql" and feed.name not in {table.feed for table in source.tables}:
            found.append((path, f"source {source.name!r} has no table for it", "add it in site.yaml"))
        for name, column in feed.columns.items():
            if column.references and not _is_there(column.references, site):
                reason = f"refers to {column.references!r}, which does not exist"
                found.append((["feeds", feed.name, "columns", name], reason, "write feed.column, machine or step"))
    return [Problem(FEEDS, line_of(text, path), ".".join(map(str, path)), why, mend) for path, why, mend in found]


def _is_there(reference: str, site: Site) -> bool:
    feed, _, column = reference.partition(".")
    return reference in {"machine", "step"} or (feed in site.feeds and column in site.feeds[feed].columns)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)
