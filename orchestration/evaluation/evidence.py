"""What a home's nights left of a solution: its version, the verdict's figures, answers, actions, checks."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from models.families import Family, Part, family_of
from models.registry.client import open_home
from models.registry.fetched import text_of
from models.registry.versions import Version, aliases, all_versions, get_version, verdict_files
from models.scoring.table import relation
from models.solution import SolutionSpec
from orchestration.evaluation.lines import Line
from orchestration.night_store import nights
from pipelines.actions.limits import full_targets
from pipelines.control_plan.site import Site
from pipelines.lake.connection import reader
from pipelines.lake.home import Home
from pipelines.lake.sql import quote_identifier
from pipelines.lake.tables import has_table

MEND = "run `cellworks nightly`"


@dataclass(frozen=True)
class Answers:
    """Rows of `solutions.<slug>` and what followed from them.

    Attributes:
        rows: of the version.
        later: of moments after the training window.
        flagged: whom an action is for and whose newest answer, young enough at the last night, calls for one.
        served: of those, how many the site's limit per target and day leaves no action for: others proposed theirs.
        actions: proposed by the solution.
    """

    rows: int = 0
    later: int = 0
    flagged: int = 0
    served: int = 0
    actions: int = 0

    @property
    def unanswered(self) -> int:
        """Targets that call for an action which nobody proposed."""
        return self.flagged - self.served


@dataclass(frozen=True)
class Evidence:
    """What is known of a solution from its home.

    Attributes:
        night: its newest row of `ops.solution_night`; None before its first night.
        version: the champion, else the newest version; None for a family that learns nothing, or before the first.
        is_champion: whether the version is the champion.
        verdict: the version's newest verdict as `verdict_<version>.json` has it.
        metrics: figures of the version's run.
        trained_until: moment after which rows are new to the version.
        answers: what it answered.
        failed_checks: names of its asset checks that failed when they were last made; those of a challenger that was
            turned away are not the champion's.
    """

    night: Mapping[str, Any] | None
    version: Version | None = None
    is_champion: bool = False
    verdict: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    trained_until: datetime | None = None
    answers: Answers = field(default_factory=Answers)
    failed_checks: tuple[str, ...] = ()

    @property
    def cannot_tell(self) -> str:
        """Why there is nothing to judge."""
        return f"its hold-out can't tell yet: {self.verdict.get('sentence', 'nothing was judged')}"

    def figures(self, gate: str) -> Mapping[str, Any]:
        """Figures of one gate of the verdict; empty where it was not judged."""
        found = next((each for each in self.verdict.get("gates", []) if each["name"] == gate), None)
        return found["figures"] if found else {}


def read(spec: SolutionSpec, home: Home, site: Site) -> Evidence:
    """Gather what the nights left.

    Raises:
        CellworksError: MLflow's store can't be read, or the site has no policy for the solution's action.
    """
    night = nights(home).get(spec.solution)
    if night is None:
        return Evidence(None)
    if not family_of(spec).learns:
        return Evidence(
            night,
            answers=answers(spec, home, site, night, night["champion_version"]),
            failed_checks=failed_checks(spec, home, family_of(spec).parts),
        )
    client = open_home(home)
    champion = aliases(client, spec.name).get("champion")
    newest = next((str(each.version) for each in all_versions(client, spec.name)), None)
    number = champion or newest
    if number is None:
        return Evidence(night, failed_checks=failed_checks(spec, home, family_of(spec).parts))
    parts = checked_parts(family_of(spec), number, newest)
    version = get_version(client, spec.name, number, home)
    files = verdict_files(client, version.run_id, number)
    judged = json.loads(text_of(client, version.run_id, files[-1])) if files else {}
    until = _trained_until(judged.get("cutoffs", {}).get(number, {}))
    return Evidence(
        night,
        version,
        is_champion=champion is not None,
        verdict=judged,
        metrics=client.get_run(version.run_id).data.metrics,
        trained_until=until,
        answers=answers(spec, home, site, night, number, until),
        failed_checks=failed_checks(spec, home, parts),
    )


def _trained_until(cut: Mapping[str, Any]) -> datetime | None:
    """The end of the training window by the cut of the hold-out; None where that is no moment."""
    if "cut_s" in cut:
        return datetime.fromtimestamp(float(cut["cut_s"]), UTC).replace(tzinfo=None)
    return datetime.fromisoformat(cut["after"]) if cut.get("kind") == "time" and cut.get("after") else None


def answers(
    spec: SolutionSpec,
    home: Home,
    site: Site,
    night: Mapping[str, Any],
    version: str | None,
    until: datetime | None = None,
) -> Answers:
    """Count a version's answers, whom they call for an action at the last night, and what came of it.

    A call is served where the site lets nobody act upon its target any more on the night's production day: solutions
    share that limit, and whoever comes first proposes the action that all of them ask for.

    Args:
        spec: the solution.
        home: of the lake.
        site: gives the limit of actions per target and day.
        night: the solution's newest row of `ops.solution_night`.
        version: whose answers count; None: nobody answered.
        until: end of the version's training window; None: every row is later.

    Raises:
        CellworksError: the site has no policy for the solution's action.
    """
    since = None if spec.acts_within_h is None else night["at"] - timedelta(hours=spec.acts_within_h)
    with reader(home) as con:
        target = quote_identifier(spec.keys[0])
        if version is None or not has_table(con, "solutions", spec.slug):
            return Answers()
        acted, full = 0, []
        if spec.action.kind != "report" and has_table(con, "ops", "action"):
            found = con.execute("SELECT count(*) FROM lake.ops.action WHERE solution = ?", [spec.slug]).fetchone()
            acted = int(found[0]) if found else 0
            full = full_targets(con, site, spec.action.kind, night["at"])
        row = con.execute(
            f"""
            WITH own AS (
                SELECT {target}::VARCHAR AS target, is_flagged, event_at, scored_at,
                    $until IS NULL OR event_at IS NULL OR event_at > $until AS is_later
                FROM {relation(spec.slug)} WHERE model_version::VARCHAR = $version),
            newest AS (
                SELECT * FROM own WHERE $since IS NULL OR event_at > $since
                QUALIFY row_number() OVER (PARTITION BY target ORDER BY event_at DESC, scored_at DESC) = 1)
            SELECT count(*), count(*) FILTER (is_later),
                (SELECT count(*) FROM newest WHERE is_flagged),
                (SELECT count(*) FROM newest WHERE is_flagged AND list_contains($full::VARCHAR[], target))
            FROM own
            """,
            {"until": until, "since": since, "version": version, "full": full},
        ).fetchone()
    rows, later, flagged, served = row or (0, 0, 0, 0)
    return Answers(int(rows), int(later), int(flagged), int(served), acted)


def checked_parts(family: Family, judged: str, newest: str | None) -> tuple[Part, ...]:
    """Parts whose checks are of the version that is judged: a newer one's model was made and turned away since."""
    return family.parts if judged == newest else family.answering


def failed_checks(spec: SolutionSpec, home: Home, parts: Iterable[Part]) -> tuple[str, ...]:
    """Names of the asset checks of these parts that failed when they were last made; none where nobody made any."""
    import dagster as dg

    from orchestration.assets.keys import solution_key
    from orchestration.whose import Ours

    if not (home.dagster_dir / "dagster.yaml").is_file():
        return ()
    keys = [dg.AssetCheckKey(solution_key(spec, part), name) for part in parts for name in family_of(spec).checks[part]]
    with dg.DagsterInstance.from_config(str(home.dagster_dir)) as instance:
        found = Ours(instance).newest_checks(keys)
    made = {key: record.evaluation for key, record in found.items()}
    return tuple(
        key.name for key in keys if isinstance(each := made.get(key), dg.AssetCheckEvaluation) and not each.passed
    )


def ran(spec: SolutionSpec, found: Evidence) -> list[Line]:
    """What is asked of every solution: new data, rows, actions, checks."""
    answers, failed = found.answers, found.failed_checks
    checks = "all asset checks passed"
    if failed:
        checks = f"{len(failed)} asset check{'s' * (len(failed) > 1)} failed: {', '.join(failed)}"
    since = f" after {found.trained_until:%Y-%m-%d %H:%M}" if found.trained_until else ""
    lines = [
        Line("rows on new data", f"{answers.later:,} answers{since}", answers.later > 0),
        Line("its asset checks passed", checks, not failed),
    ]
    if family_of(spec).learns:
        told = f"version {found.version.number}" if found.version else "no version"
        champion = f"{told} is champion" if found.is_champion else f"{told} was not promoted"
        lines.insert(0, Line("a version that passed its gates", champion, found.is_champion))
    if spec.action.kind != "report":
        acted = answers.actions > 0 or not answers.unanswered
        lines.append(Line(f"its actions ({spec.action.kind})", _told(answers), acted))
    return lines


def _told(answers: Answers) -> str:
    told = f"{answers.actions:,} actions"
    if answers.flagged or not answers.actions:
        told += f", {answers.flagged:,} open answers call for one"
    if answers.served:
        told += f", {answers.served:,} of them about targets that got the day's from others"
    return told
