"""What a person does to a model's champion: appoints a version, takes it away, rolls back to the one before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from models.context import ModelContext
from models.registry.aliases import (
    Promotion,
    acting,
    carry_out,
    crown,
    new_move,
    recover,
    require_clearance,
)
from models.registry.audit import standing
from models.registry.client import open_at, open_client
from models.registry.versions import CHAMPION, PREVIOUS, aliases, registered_name
from models.solution import SolutionSpec
from pipelines.control_plan.errors import CellworksError
from pipelines.lake.home import Home
from pipelines.lake.lock import ACTS, writer_lock


def appoint(spec: SolutionSpec, ctx: ModelContext, number: str, why: str, *, reigned: str | None) -> Promotion:
    """Make a cleared version champion at once, as the context's actor says.

    Args:
        spec: the solution.
        ctx: instance and site; its actor answers for it.
        number: the version.
        why: the reason.
        reigned: the version that the alias named when this was decided; None for none.

    Raises:
        CellworksError: no such version, it is not cleared, it is the champion, or the alias has moved meanwhile.
    """
    recover(ctx.home, uri=ctx.tracking_uri)
    client = open_client(ctx)
    with writer_lock(ctx.home, f"promotion of {spec.name}", area=ACTS):
        require_clearance(client, ctx.home, spec.name, number)
        if acting(client, ctx.home, spec.name, audited=ctx.is_guarded) == number:
            raise CellworksError(f"version {number} of {spec.name} is the champion", expected="another version")
        require_unmoved(spec.name, aliases(client, spec.name), {CHAMPION: reigned})
        crowned = crown(client, ctx, spec.name, number, ctx.actor, why)
    return replace(crowned, sentence=f"version {number} of {spec.solution} made champion by {ctx.actor}: {why}")


def retire(spec: SolutionSpec, ctx: ModelContext, why: str, *, reigned: str) -> Promotion:
    """Take the champion away: the solution skips until a person brings one back, and nights crown none.

    Args:
        spec: the solution.
        ctx: instance and site; its actor answers for it.
        why: the reason.
        reigned: the version that the alias named when this was decided.

    Returns:
        The version that reigned.

    Raises:
        CellworksError: the alias has moved meanwhile.
    """
    recover(ctx.home, uri=ctx.tracking_uri)
    client = open_client(ctx)
    with writer_lock(ctx.home, f"retirement of {spec.name}", area=ACTS):
        now = aliases(client, spec.name)
        require_unmoved(spec.name, now, {CHAMPION: reigned})
        move = new_move("retire", spec.name, now, {CHAMPION: None}, ctx.actor, why)
        carry_out(client, ctx.home, move, ctx.site)
    told = f"version {reigned} of {spec.solution} taken away by {ctx.actor}: {why}"
    return Promotion(spec.name, reigned, "", True, told)


def require_unmoved(name: str, now: Mapping[str, str], wanted: Mapping[str, str | None]) -> None:
    """Refuse to do what was decided while the aliases stood otherwise.

    Raises:
        CellworksError: an alias names another version than it did then.
    """
    found = {alias: now.get(alias) for alias in wanted}
    if found != dict(wanted):
        raise CellworksError(
            f"the aliases of {name} have moved meanwhile",
            expected=", ".join(f"{alias}: {number or 'none'}" for alias, number in wanted.items()),
            found=", ".join(f"{alias}: {number or 'none'}" for alias, number in found.items()),
            mend="see `cellworks models`, and decide anew; nothing was moved",
        )


def rollback(
    home: Home,
    slug: str,
    who: str,
    why: str,
    *,
    uri: str | None = None,
    decided: Mapping[str, str | None] | None = None,
    audited: bool = False,
) -> Promotion:
    """Move champion back to previous; the version that acted becomes previous.

    Args:
        home: the instance.
        slug: the solution's slug, `<stage>/<slug>` or `<stage>.<slug>`.
        who: who does it.
        why: the reason.
        uri: MLflow address; default the home's.
        decided: what `champion` and `previous` named when this was decided; left out, whatever they name now.
        audited: as at a site that names roles, go back only to what a finished move of the audit left as previous.

    Returns:
        The version that reigns again.

    Raises:
        CellworksError: no such model, no previous version, the previous one is not cleared or was put there by hand
            where that counts for nothing, or the aliases have moved since it was decided.
    """
    recover(home, uri=uri)
    client = open_at(uri or home.stores.mlflow_uri)
    wanted = slug.replace("/", ".")
    name = wanted if "." in wanted else registered_name(client, wanted)
    with writer_lock(home, f"rollback of {slug}", area=ACTS):
        if name is not None and decided is not None:
            require_unmoved(name, aliases(client, name), decided)
        return _roll_back(client, home, slug, name, who, why, audited=audited)


def _roll_back(client: Any, home: Home, slug: str, name: str | None, who: str, why: str, *, audited: bool) -> Promotion:
    """Champion and previous change places; the lock is held."""
    now = aliases(client, name) if name else {}
    if name is None or PREVIOUS not in now:
        raise CellworksError(
            f"there is nothing to roll {slug} back to",
            expected="a model with the alias 'previous'",
            found=", ".join(f"{alias}: {number}" for alias, number in sorted(now.items())) or "no such model",
            mend=f"`cellworks promote {slug} VERSION` makes a cleared version champion (`cellworks models` lists them)"
            + (f", `cellworks retire {slug}` takes the champion away" if CHAMPION in now else ""),
        )
    target = now[PREVIOUS]
    reigned = now.get(CHAMPION)
    if audited:
        told = standing(home, name)
        _require_left_there(name, target, told.previous)
        reigned = told.champion
    require_clearance(client, home, name, target)
    left = _left(client, home, name, target, reigned, audited=audited) if CHAMPION in now else None
    after: dict[str, str | None] = {CHAMPION: target, PREVIOUS: left}
    carry_out(client, home, new_move("rollback", name, now, after, who, why))
    source = f" from version {left}" if left is not None else ""
    return Promotion(name, target, CHAMPION, True, f"rolled back{source} by {who}: {why}")


def _left(client: Any, home: Home, name: str, target: str, reigned: str | None, *, audited: bool) -> str | None:
    """The version that a rollback leaves: the one that acts, else the one that reigns and may not act."""
    acts = acting(client, home, name, audited=audited)
    return next((each for each in (acts, reigned) if each not in (None, target)), None)


def _require_left_there(name: str, target: str, told: str | None) -> None:
    if target != told:
        raise CellworksError(
            f"the alias previous of {name} names version {target}, which no finished move of the audit left there",
            expected=f"version {told}" if told is not None else "no previous version",
            found=f"version {target}",
            mend="`cellworks promote` makes a cleared version champion; nothing was moved",
        )
