"""A site: hierarchy, calendar, product, money, grades, actions and its control plan, read from one folder."""

from __future__ import annotations

import hashlib
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, TypeVar
from zoneinfo import ZoneInfo

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, field_validator, model_validator

from pipelines.control_plan import check, csv_file
from pipelines.control_plan.access import Access
from pipelines.control_plan.economics import CostRates, Standard, Tariff, standard_cost_parts
from pipelines.control_plan.errors import CellworksError, PlanError, Problem
from pipelines.control_plan.feeds import Feed, Model, Source
from pipelines.control_plan.hierarchy import Area, Shift, machines_of
from pipelines.control_plan.inherit import Inherited, inherits, read_inherited
from pipelines.control_plan.numbers import FIELD as NUMBERS
from pipelines.control_plan.numbers import LARGEST
from pipelines.control_plan.plan import Code, ControlPlan, Machine, Step
from pipelines.control_plan.product import ActionKind, ActionPolicy, Grade, Product
from pipelines.control_plan.retention import Retention
from pipelines.control_plan.yaml_file import parse_yaml, problems_of

SITE_FILE, FEEDS_FILE, PLAN_FILE = "site.yaml", "feeds.yaml", csv_file.FILE
PointNumber = Annotated[int, Field(ge=1, le=LARGEST)]
_Part = TypeVar("_Part", list[Any], dict[str, Any])
_CACHE_SIZE = 8
_cache: dict[tuple[tuple[Path, ...], str], Site] = {}


class Site(Model):
    """One plant site; see infra/sites/demo for a complete one.

    Attributes:
        day_starts_at: local time at which a production day begins.
        start_day: first production day of the demo's history.
        future_tolerance_s: how far event_at may lie after known_at (clocks that disagree).
        clock_lead_d: how far known_at may lie ahead of the wall clock and of all that came before; what is further
            ahead is set aside, since the newest known_at is the plant's clock.
        shadow_nights: nights that a challenger waits in the shadow, unscored, before it is judged again.
        solution_time_limit_s: how long the night of one solution may take before it is ended and told as failed.
        schedules: cron expressions in the site's time zone, by name.
        sensor_interval_s: how often sensors look for new data, moved aliases, drift and failed runs.
        retention: what maintenance keeps, and how long.
        plan: the control plan. feeds: by name. hash: sha256 over all files read.
        chain: the site's folder, then those it inherits from, the nearest first.
        name: folder-like name.
        title: for people.
        enterprise: owner of the site (ISA-95).
        time_zone: IANA name; schedules and production days follow it.
        shifts: in the order of the day.
        operators_per_shift: people on the line.
        steps: the process chain and the facility.
        areas: ISA-95 hierarchy down to the machines.
        product: the cell.
        tariff: price of electricity.
        cost_rates: rates of conversion cost.
        standard: standard costing.
        grades: from best to scrap; the first whose limits hold is given.
        actions: mode and limits by kind of action; a kind that is not named is refused.
        access: who may do what; left out, the user of the machine may do all.
        sources: systems that deliver.
        point_numbers: numbers of control points by their id, of the few whose hash is another's; for good.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    name: Code
    title: str
    enterprise: str
    time_zone: str
    day_starts_at: time
    start_day: date
    shifts: tuple[Shift, ...] = Field(min_length=1)
    operators_per_shift: Annotated[int, Field(gt=0)]
    future_tolerance_s: Annotated[float, Field(ge=0)] = 300
    clock_lead_d: Annotated[float, Field(gt=0)] = 2
    steps: tuple[Step, ...] = Field(min_length=1)
    areas: tuple[Area, ...] = Field(min_length=1)
    product: Product
    tariff: Tariff
    cost_rates: CostRates
    standard: Standard
    grades: tuple[Grade, ...] = Field(min_length=1)
    actions: dict[ActionKind, ActionPolicy]
    access: Access = Field(default_factory=Access)
    shadow_nights: Annotated[int, Field(ge=0)]
    solution_time_limit_s: Annotated[float, Field(gt=0)] = 900
    schedules: dict[str, str]
    sensor_interval_s: Annotated[int, Field(gt=0)] = 30
    retention: Retention = Field(default_factory=Retention)
    sources: list[Source]
    point_numbers: dict[str, PointNumber] = Field(default_factory=dict)

    folder: Path
    plan: ControlPlan
    feeds: dict[str, Feed]
    hash: str
    chain: tuple[Path, ...] = ()

    @field_validator("time_zone")
    @classmethod
    def _zone_exists(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (KeyError, ValueError, OSError) as error:
            raise ValueError(f"{value!r} is no IANA time zone; write one like Asia/Shanghai") from error
        return value

    @field_validator("schedules")
    @classmethod
    def _five_fields(cls, value: dict[str, str]) -> dict[str, str]:
        if bad := {name: cron for name, cron in value.items() if len(cron.split()) != 5}:
            raise ValueError(f"not a cron expression of five fields: {bad}")
        return value

    @model_validator(mode="after")
    def _one_premium_grade(self) -> Site:
        if not any(grade.is_premium for grade in self.grades):
            raise ValueError("grades: none is_premium, so the premium ratio would always be 0")
        return self

    def file(self, name: str) -> Path:
        """A further file of the site, such as twin.yaml: its own, else that of the nearest it inherits from."""
        found = (folder / name for folder in self.chain if (folder / name).exists())
        return next(found, self.folder / name)

    @property
    def zone(self) -> ZoneInfo:
        """The site's time zone."""
        return ZoneInfo(self.time_zone)

    def day_shift(self, moment: datetime) -> timedelta:
        """What to add to a UTC time at `moment` (UTC, naive) so that its date is the production day."""
        local = moment.replace(tzinfo=UTC).astimezone(self.zone)
        start = self.day_starts_at
        begun = timedelta(hours=start.hour, minutes=start.minute, seconds=start.second)
        return (local.utcoffset() or timedelta()) - begun

    def machines(self, machine_class: str | None = None) -> list[Machine]:
        """All machines, or those of one class, in the order of the file."""
        return [m for m in self.plan.machines if machine_class in (None, m.machine_class)]

    @cached_property
    def machines_by_id(self) -> dict[str, Machine]:
        """Machines by their id."""
        return {machine.id: machine for machine in self.plan.machines}

    @cached_property
    def standard_cost_by_step(self) -> dict[str, dict[str, float]]:
        """Standard conversion cost, step -> part -> US$ per premium kWh."""
        return standard_cost_parts(
            self.standard,
            self.cost_rates,
            self.tariff,
            operators=self.operators_per_shift,
            capacity_kwh=self.product.nominal_energy_kwh,
        )

    @cached_property
    def standard_cost_usd_per_kwh(self) -> dict[str, float]:
        """Standard conversion cost by part (labour, energy, ...), in US$ per premium kWh; their sum is the whole."""
        parts: dict[str, float] = {}
        for step_parts in self.standard_cost_by_step.values():
            for part, usd in step_parts.items():
                parts[part] = parts.get(part, 0.0) + usd
        return parts

    def standard_cost_to_come_usd_per_kwh(self, step: str) -> float:
        """Standard conversion cost still to come at the entry of a step (that step included), US$ per kWh."""
        order = {each.code: each.order for each in self.steps}
        return sum(
            sum(parts.values()) for code, parts in self.standard_cost_by_step.items() if order[step] <= order[code] < 90
        )


def load_site(folder: Path) -> Site:
    """Read, check and cache a site by the content of its files.

    Args:
        folder: holds site.yaml, feeds.yaml and control_plan.csv; with `inherits` in site.yaml, what differs.

    Returns:
        The site; the same object as long as no file changes.

    Raises:
        CellworksError: the folder or a file is missing.
        PlanError: something in the files is wrong; it lists all problems with file, line, field and reason.
    """
    folder = Path(folder).resolve()
    read = _read(folder)
    # The chain counts: a base of another name may say the same, and the files beside site.yaml are looked for along it.
    key = (read.chain, site_hash(dict(read.contents)))
    if key not in _cache:
        if len(_cache) >= _CACHE_SIZE:
            _cache.pop(next(iter(_cache)))
        try:
            _cache[key] = _build(read, key[1])
        except PlanError as error:
            raise PlanError(str(folder), [read.at_home(each) for each in error.problems]) from error
    return _cache[key]


def _read(folder: Path) -> Inherited:
    if not folder.is_dir():
        mend = "name an existing folder, such as infra/sites/demo"
        raise CellworksError("there is no such site folder", found=str(folder), mend=mend)
    present = {
        name: (folder / name).read_bytes() for name in (SITE_FILE, FEEDS_FILE, PLAN_FILE) if (folder / name).is_file()
    }
    if SITE_FILE in present and inherits(csv_file.decode(present[SITE_FILE], folder, SITE_FILE), folder):
        return read_inherited(folder)
    if lost := [name for name in (SITE_FILE, FEEDS_FILE, PLAN_FILE) if name not in present]:
        raise PlanError(
            str(folder),
            [Problem(name, 0, "", "is missing", "copy it from infra/sites/demo") for name in lost],
        )
    return Inherited((folder,), present)


def _build(read: Inherited, digest: str) -> Site:
    folder, contents = read.chain[0], read.contents
    texts = {name: csv_file.decode(content, folder, name) for name, content in contents.items()}
    site_data = parse_yaml(texts[SITE_FILE], folder, SITE_FILE)
    feeds_data = parse_yaml(texts[FEEDS_FILE], folder, FEEDS_FILE)
    problems: list[Problem] = []
    feeds = _feeds(feeds_data, texts[FEEDS_FILE], problems)
    steps = _part(list[Step], site_data, "steps", texts[SITE_FILE], problems)
    areas = _part(list[Area], site_data, "areas", texts[SITE_FILE], problems)
    numbers = _part(dict[str, PointNumber], {NUMBERS: {}, **site_data}, NUMBERS, texts[SITE_FILE], problems)
    rows, row_problems = csv_file.read_rows(texts[PLAN_FILE], folder)
    if problems:  # without steps, machines and feeds the rows can't be judged
        raise PlanError(str(folder), problems + row_problems)
    plan = ControlPlan(
        steps=sorted(steps, key=lambda step: step.order),
        rows=rows,
        machines=machines_of(areas),
        hash=site_hash({name: contents[name] for name in (PLAN_FILE, FEEDS_FILE)}),
        given_numbers=numbers,
    )
    problems = sorted(
        row_problems + check.plan_problems(plan, feeds, is_complete=not row_problems), key=lambda each: each.line
    )
    try:
        site = Site.model_validate(
            {**site_data, "folder": folder, "plan": plan, "feeds": feeds, "hash": digest, "chain": read.chain}
        )
    except ValidationError as error:
        raise PlanError(str(folder), problems_of(error, texts[SITE_FILE], SITE_FILE) + problems) from error
    problems = (
        check.site_problems(site, texts[SITE_FILE], is_complete=not row_problems)
        + check.feed_problems(site, texts[FEEDS_FILE])
        + problems
    )
    if problems:
        raise PlanError(str(folder), problems)
    return site


def _feeds(data: dict[str, Any], text: str, problems: list[Problem]) -> dict[str, Feed]:
    given = data.get("feeds")
    if not isinstance(given, dict):
        problems.append(Problem(FEEDS_FILE, 1, "feeds", "expected feeds by name", "see infra/sites/demo/feeds.yaml"))
        return {}
    feeds: dict[str, Feed] = {}
    for name, fields in given.items():
        try:
            feeds[name] = Feed.model_validate({**fields, "name": name} if isinstance(fields, dict) else fields)
        except ValidationError as error:
            problems += problems_of(error, text, FEEDS_FILE, prefix=("feeds", name))
    return feeds


def _part(kind: type[_Part], data: dict[str, Any], key: str, text: str, problems: list[Problem]) -> _Part:
    try:
        return TypeAdapter(kind).validate_python(data.get(key))
    except ValidationError as error:
        problems += problems_of(error, text, SITE_FILE, prefix=(key,))
        return kind()


def site_hash(contents: dict[str, bytes]) -> str:
    """Sha256 over named file contents, each bound to its name and length."""
    digest = hashlib.sha256()
    for name, content in sorted(contents.items()):
        digest.update(f"{name}\n{len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()
