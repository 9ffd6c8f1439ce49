"""`models`, `promote`, `retire`, `rollback` and `override`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from orchestration.catalogue import discover, find
from orchestration.cli import console
from orchestration.plant import plant
from pipelines.control_plan.errors import CellworksError


def show_models(*, as_json: bool) -> None:
    """Print the versions of every solution, newest first, with aliases and verdict."""
    from models.registry.client import open_home
    from models.registry.versions import aliases, all_versions

    client = open_home(plant().home)
    rows: list[dict[str, Any]] = []
    for spec in discover():
        of_version = aliases(client, spec.name)
        for version in all_versions(client, spec.name):
            trained = datetime.fromtimestamp(version.creation_timestamp / 1000, tz=UTC)
            rows.append(
                {
                    "solution": spec.solution,
                    "version": str(version.version),
                    "aliases": [alias for alias, number in of_version.items() if number == str(version.version)],
                    "trained": trained.isoformat(timespec="seconds"),
                    "verdict": version.tags.get("verdict", "not judged yet"),
                    "reason": version.tags.get("verdict_reason", ""),
                }
            )
    if as_json:
        console.tell(rows, "", as_json=True)
        return
    if not rows:
        console.line("no model was trained yet; `cellworks nightly` trains those of every solution")
    solution = ""
    for row in rows:
        if row["solution"] != solution:
            solution = row["solution"]
            console.heading(solution)
        title = (
            f"version {row['version']}  {', '.join(row['aliases']) or 'no alias'}  trained {row['trained'][:16]} UTC"
        )
        console.line(title, style="green" if "champion" in row["aliases"] else "")
        console.line(row["reason"] or row["verdict"], 4)


def promote(solution: str, version: str, who: str | None, why: str, *, as_json: bool) -> None:
    """Make a cleared version champion at once."""
    from models.context import ModelContext
    from models.registry.aliases import require_clearance
    from models.registry.by_person import appoint
    from models.registry.client import open_home
    from models.registry.versions import aliases
    from pipelines.access.identity import authorise
    from pipelines.access.rules import rules_of
    from pipelines.access.second_person import grant

    here, spec = plant(), find(solution)
    person = authorise(here.site.access, "promotion", who)
    client = open_home(here.home)
    require_clearance(client, here.home, spec.name, version)
    reigned = aliases(client, spec.name).get("champion")
    if not grant(here.home, rules_of(here.site), "promotion", spec.name, person, why, {"from": reigned, "to": version}):
        console.end_waiting("promotion", spec.solution, person.name, here.site.access, as_json=as_json)
    ctx = ModelContext(here.home, here.site, actor=person.name)
    done = appoint(spec, ctx, version, why, reigned=reigned)
    found = {"solution": spec.solution, "champion_version": done.version, "sentence": done.sentence}
    console.tell(found, done.sentence, as_json=as_json)


def retire(solution: str, who: str | None, why: str, *, as_json: bool) -> None:
    """Take the champion away."""
    from models.context import ModelContext
    from models.registry.by_person import retire as take_away
    from models.registry.client import open_home
    from models.registry.versions import aliases
    from pipelines.access.identity import authorise
    from pipelines.access.rules import rules_of
    from pipelines.access.second_person import grant

    here, spec = plant(), find(solution)
    person = authorise(here.site.access, "retirement", who)
    reigned = aliases(open_home(here.home), spec.name).get("champion")
    if reigned is None:
        raise CellworksError(f"{spec.solution} has no champion to take away", mend="see `cellworks models`")
    if not grant(here.home, rules_of(here.site), "retirement", spec.name, person, why, {"from": reigned}):
        console.end_waiting("retirement", spec.solution, person.name, here.site.access, as_json=as_json)
    done = take_away(spec, ModelContext(here.home, here.site, actor=person.name), why, reigned=reigned)
    found = {"solution": spec.solution, "champion_version": None, "sentence": done.sentence}
    console.tell(found, done.sentence, as_json=as_json)


def roll_back(solution: str, who: str | None, why: str, *, as_json: bool) -> None:
    """Move champion back to previous."""
    from models.registry.aliases import acting
    from models.registry.by_person import rollback
    from models.registry.client import open_home
    from models.registry.versions import aliases
    from pipelines.access.identity import authorise
    from pipelines.access.rules import rules_of
    from pipelines.access.second_person import grant

    here, spec = plant(), find(solution)
    person = authorise(here.site.access, "rollback", who)
    client, guarded = open_home(here.home), here.site.access.is_guarded
    now = aliases(client, spec.name)
    decided = {"champion": now.get("champion"), "previous": now.get("previous")}
    # What is gone back from is what acts, whatever a hand has let the alias name.
    from_to = {"from": acting(client, here.home, spec.name, audited=guarded), "to": decided["previous"]}
    if "previous" in now and not grant(here.home, rules_of(here.site), "rollback", spec.name, person, why, from_to):
        console.end_waiting("rollback", spec.solution, person.name, here.site.access, as_json=as_json)
    done = rollback(here.home, spec.slug, person.name, why, decided=decided, audited=guarded)
    found = {"solution": spec.solution, "champion_version": done.version, "sentence": done.sentence}
    console.tell(found, done.sentence, as_json=as_json)


def override(solution: str, version: str, who: str | None, why: str, *, as_json: bool) -> None:
    """Sign for a version that no gate has passed, so that it may be given an alias and act."""
    from models.registry.client import open_home
    from models.registry.versions import get_version, sign_override
    from pipelines.access.identity import authorise
    from pipelines.access.rules import rules_of
    from pipelines.access.second_person import grant

    here, spec = plant(), find(solution)
    person = authorise(here.site.access, "override", who)
    get_version(open_home(here.home), spec.name, version, here.home)
    if not grant(here.home, rules_of(here.site), "override", spec.name, person, why, {"version": version}):
        console.end_waiting("override", spec.solution, person.name, here.site.access, as_json=as_json)
    sign_override(here.home, spec.name, version, person.name, why)
    found = {"solution": spec.solution, "version": version, "signed_by": person.name}
    sentence = f"{person.name} answers for version {version} of {spec.solution}; `cellworks promote` makes it champion"
    console.tell(found, sentence, as_json=as_json)


def revoke(solution: str, version: str, who: str | None, why: str, *, as_json: bool) -> None:
    """Take the signature under a version back."""
    from models.context import ModelContext
    from models.registry.client import open_home
    from models.registry.revocation import revoke as take_back
    from models.registry.revocation import signer_of
    from models.registry.versions import get_version
    from pipelines.access.identity import authorise
    from pipelines.access.rules import rules_of
    from pipelines.access.second_person import grant

    here, spec = plant(), find(solution)
    person = authorise(here.site.access, "revocation", who)
    signer = signer_of(get_version(open_home(here.home), spec.name, version, here.home))
    detail = {"version": version, "signed_by": signer}
    if not grant(here.home, rules_of(here.site), "revocation", spec.name, person, why, detail):
        console.end_waiting("revocation", spec.solution, person.name, here.site.access, as_json=as_json)
    sentence = take_back(spec, ModelContext(here.home, here.site, actor=person.name), version)
    found = {"solution": spec.solution, "version": version, "revoked_by": person.name, "sentence": sentence}
    console.tell(found, sentence, as_json=as_json)
