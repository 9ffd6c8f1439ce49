"""Taking a solution pack in: into the instance's own definitions, in a state in which it may not act."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from expectations.written import WrittenSuite
from models.families import FAMILIES, Family, family_of
from models.solution import SolutionSpec
from orchestration.catalogue import build_spec, discover, refuse_shared_slugs, type_of
from orchestration.environment import own_definitions
from orchestration.packs.contents import CARD, DEFS, Pack, read_pack, refuse_files, refused, safe_yaml
from pipelines.control_plan.errors import CellworksError
from pipelines.lake.home import Home

_REPORT = "report"
_PACK = "pack.json"


@dataclass(frozen=True)
class Taken:
    """One solution as it is written here.

    Attributes:
        spec: as it is read here.
        text: its defs.yaml.
        withheld: kind of action that it had and has not here; None where its gates stand before it.
        gates: gates that are not the platform's own, each as name, value and default.
    """

    spec: SolutionSpec
    text: str
    withheld: str | None
    gates: list[str]


def import_pack(file: Path) -> dict[str, Any]:
    """Check a pack wholly, then write its solutions; of a pack that is refused nothing is written.

    A solution that learns has no version here that could act: until one passed its gates on this site's rows, nothing
    is scored and nothing proposed. One that learns nothing has no gates, so its action is `report`, which proposes
    nothing, until a person writes the action in.

    Returns:
        `site` that it comes from, `solutions` with what is withheld of each and which of its gates its sender has set,
        and `suites` kept beside them.

    Raises:
        CellworksError: it is no pack, has a wrong attribute, or a name of it is taken here, be it by a model alone.
    """
    pack = read_pack(file)
    known = discover()
    taken = [_taken(folder, text) for folder, text in sorted(pack.solutions.items())]
    _refuse_taken(taken, known)
    refuse_shared_slugs([*known, *(each.spec for each in taken)])
    _refuse_unasked(taken, known)
    for name, text in pack.suites.items():
        _refuse_wrong_suite(name, text)
    _refuse_older_models([each.spec for each in taken if family_of(each.spec).learns], Home.from_env())
    for each in taken:
        _write(each, pack)
    return {
        "site": pack.manifest.site,
        "solutions": [
            {"solution": each.spec.solution, "withheld": each.withheld, "gates": each.gates} for each in taken
        ],
        "suites": sorted(pack.suites),
        "folder": str(own_definitions()),
    }


def _taken(folder: tuple[str, str], text: str) -> Taken:
    name = "/".join(folder)
    where = f"solutions/{name}/{DEFS}"
    content = safe_yaml(text, where)
    family = next((each for each in FAMILIES if type_of(each) == content.get("type")), None)
    attributes = content.get("attributes")
    if family is None or not isinstance(attributes, dict) or set(content) != {"type", "attributes"}:
        # Any other key or type is Dagster's own, which may name Python code.
        raise refused(
            "a solution of the pack is of no family",
            expected=f"`type`, one of {', '.join(type_of(each) for each in FAMILIES)}, and `attributes`",
            found=str(content.get("type"))[:100],
            where=where,
        )
    refuse_files(attributes, where)
    spec = build_spec(family, folder, attributes, where, text)
    return (
        Taken(spec, text, None, _own_gates(spec))
        if family.learns
        else _without_action(family, spec, attributes, text, where)
    )


def _without_action(family: Family, spec: SolutionSpec, attributes: dict[str, Any], text: str, where: str) -> Taken:
    if spec.action.kind == _REPORT:
        return Taken(spec, text, None, _own_gates(spec))
    changed = {**attributes, "action": {"kind": _REPORT}}
    note = f"# From a pack: action.kind was `{spec.action.kind}` there. Write it in once its answers were looked at.\n"
    body = yaml.safe_dump({"type": type_of(family), "attributes": changed}, sort_keys=False, allow_unicode=True)
    without = build_spec(family, (spec.stage, spec.slug), changed, where, body)
    return Taken(without, note + body, spec.action.kind, _own_gates(spec))


def _own_gates(spec: SolutionSpec) -> list[str]:
    """Gates that the definition sets otherwise than the platform does."""
    field = type(spec).model_fields.get("gates")
    if field is None:
        return []
    usual = field.get_default(call_default_factory=True).model_dump()
    asked = spec.model_dump()["gates"]
    return [f"{name} {value}, not {usual[name]}" for name, value in asked.items() if value != usual[name]]


def _refuse_taken(taken: list[Taken], known: list[SolutionSpec]) -> None:
    names = {spec.solution for spec in known}
    for each in taken:
        folder = own_definitions() / each.spec.stage / each.spec.slug
        is_own = folder.exists() or folder.is_symlink()
        if each.spec.solution in names or is_own:
            old = "a pack never changes what is there: take the old one away first, or ask for another name"
            shared = "nothing is needed where it is the same; else ask for another name"
            raise CellworksError(
                f"the solution {each.spec.solution} is there already",
                expected="a name that is not taken",
                found=str(folder) if is_own else f"{each.spec.solution}, which this release or CELLWORKS_DEFS brings",
                mend=old if is_own else shared,
            )


def _refuse_older_models(specs: Sequence[SolutionSpec], home: Home) -> None:
    """Refuse a name under which the registry still has a version that the next night would let act or judge."""
    from models.registry.client import has_registry, open_home
    from models.registry.versions import CHALLENGER, CHAMPION, SHADOW, aliases

    if not specs or not has_registry(home):
        return
    client = open_home(home)
    for spec in specs:
        named = aliases(client, spec.name)
        if left := {alias: named[alias] for alias in (CHAMPION, SHADOW, CHALLENGER) if alias in named}:
            retire = f"put its old definition back and give `cellworks retire {spec.solution} --why ...`, or "
            raise CellworksError(
                f"the registry still has a model of {spec.solution}, which the pack's gates have not judged",
                expected="no version that is champion, shadow or challenger",
                found=", ".join(f"{alias}: {number}" for alias, number in left.items()),
                mend=f"{retire if CHAMPION in left else ''}ask for another name",
            )


def _refuse_unasked(taken: list[Taken], known: list[SolutionSpec]) -> None:
    here = {spec.solution for spec in (*known, *(each.spec for each in taken))}
    for each in taken:
        if lost := [name for name in each.spec.asks if name not in here]:
            raise CellworksError(
                f"{each.spec.solution} asks a solution that is not here",
                expected="those it asks, in the pack or here",
                found=lost[0],
                mend=f"export {lost[0]} into the pack too",
            )


def _refuse_wrong_suite(name: str, text: str) -> None:
    try:
        WrittenSuite.model_validate(safe_yaml(text, f"suites/{name}"))
    except ValidationError as error:
        found = "; ".join(str(each["msg"])[:120] for each in error.errors(include_url=False)[:3])
        raise refused("a suite of the pack is wrong", found=found, where=f"suites/{name}") from error


def _write(each: Taken, pack: Pack) -> None:
    """Card, suites and origin first and the definition last, renamed: who looks in between sees no half of one."""
    folder = own_definitions() / each.spec.stage / each.spec.slug
    folder.mkdir(parents=True)
    (folder / CARD).write_text(pack.cards[(each.spec.stage, each.spec.slug)], encoding="utf-8")
    (folder / _PACK).write_text(pack.manifest.model_dump_json(indent=1), encoding="utf-8")
    if pack.suites:
        (folder / "suites").mkdir()
    for name, text in pack.suites.items():
        (folder / "suites" / name).write_text(text, encoding="utf-8")
    draft = folder / "defs.draft"
    draft.write_text(each.text, encoding="utf-8")
    draft.replace(folder / DEFS)
