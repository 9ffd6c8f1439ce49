"""Moving aliases as the gates say. Each move is an intent, the moves and a done, so a kill loses nothing."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from models.context import ModelContext
from models.gates.verdict import Verdict
from models.registry.audit import Move, has_begun, open_moves, write_phase
from models.registry.client import open_at, open_client
from models.registry.versions import (
    CHALLENGER,
    CHAMPION,
    PREVIOUS,
    SHADOW,
    aliases,
    champion,
    clearance,
    get_version,
    is_stopped,
)
from models.solution import SolutionSpec
from pipelines.control_plan.errors import CellworksError
from pipelines.control_plan.site import Site
from pipelines.lake.clock import wall_now
from pipelines.lake.home import Home
from pipelines.lake.lock import ACTS, writer_lock


@dataclass(frozen=True)
class Promotion:
    """What became of a judged version: its alias (`champion`, `shadow`, `challenger`) and one sentence."""

    name: str
    version: str
    alias: str
    moved: bool
    sentence: str


_STOPPED = "the champion was taken away by hand; `cellworks promote` or `cellworks rollback` brings one back"


def _moment(at: datetime | None) -> str:
    return (at or wall_now()).isoformat(timespec="microseconds")


def _apply(client: Any, move: Move) -> None:
    """Set the aliases as the move wants them; applying it twice changes nothing more."""
    now = aliases(client, move.model)
    for alias, number in move.after.items():
        if number is None and alias in now:
            client.delete_registered_model_alias(move.model, alias)
        elif number is not None and now.get(alias) != number:
            client.set_registered_model_alias(move.model, alias, number)
    crowned = move.after.get(CHAMPION)
    if crowned is not None:
        client.set_model_version_tag(move.model, crowned, "champion_since", _moment(None))


def carry_out(client: Any, home: Home, move: Move, site: Site | None = None) -> None:
    """Intent row, moves, done row; the caller holds the writer lock since before it read the aliases.

    `site` is the one whose gates say so; None where an act of a person does.
    """
    write_phase(home, move, "intent", site)
    _apply(client, move)
    write_phase(home, move, "done")


def new_move(kind: str, name: str, before: dict[str, str], after: dict[str, str | None], who: str, why: str) -> Move:
    """A move that has not begun."""
    return Move(uuid.uuid4().hex, kind, name, before, after, who, why)


def recover(home: Home, *, uri: str | None = None) -> list[str]:
    """Finish the moves that were killed half way; undo those whose target is no longer cleared.

    One that no act tells of, because somebody put it into the table or an earlier release began it, is left alone.

    Args:
        home: the instance.
        uri: MLflow address; default the home's.

    Returns:
        One sentence per move.
    """
    if not open_moves(home):
        return []
    client = open_at(uri or home.stores.mlflow_uri)
    # Under the lock it is asked again: an intent whose process lives ends by itself, and is not carried out twice.
    with writer_lock(home, "recovery of moves of aliases", area=ACTS):
        return [_recover_one(client, home, move) for move in open_moves(home)]


def _recover_one(client: Any, home: Home, move: Move) -> str:
    target = move.after.get(CHAMPION) or move.after.get(SHADOW)
    if not has_begun(home, move):
        return f"left alone {move.kind} of {move.model} to version {target}: no act tells that it began"
    if target is None or _is_cleared(client, home, move.model, target):
        _apply(client, move)
        write_phase(home, move, "done")
        return f"finished {move.kind} of {move.model} to version {target}"
    gone: dict[str, str | None] = dict.fromkeys(move.after, None)
    back = Move(move.move_id, move.kind, move.model, move.before, gone | dict(move.before), move.who, move.why)
    _apply(client, back)
    write_phase(home, move, "undone")
    return f"undid {move.kind} of {move.model}: version {target} is not cleared"


def _is_cleared(client: Any, home: Home, name: str, number: str) -> bool:
    try:
        return clearance(home, get_version(client, name, number, home)) is not None
    except CellworksError:
        return False


def require_clearance(client: Any, home: Home, name: str, number: str) -> None:
    """Refuse a version that may not act.

    Raises:
        CellworksError: it has no passing verdict and no signed override, or it is not there.
    """
    if not _is_cleared(client, home, name, number):
        raise CellworksError(
            f"version {number} of {name} may not act",
            expected="a passing verdict or a signed override",
            found="neither",
            mend="judge it, or sign with `cellworks override`",
        )


def promote(spec: SolutionSpec, ctx: ModelContext, verdict: Verdict, *, who: str | None = None) -> Promotion:
    """Give a judged version the alias it has earned.

    A first version that passed becomes champion at once, and so does one where no champion may act; a later one goes
    into the shadow for the site's `shadow_nights` (or becomes champion where that is 0). A version in the shadow is not
    displaced by the next.

    Args:
        spec: the solution.
        ctx: instance, site and moment.
        verdict: what `judge` said.
        who: who promotes; default the context's actor.

    Returns:
        What was moved and why. A failed verdict moves nothing, nor one on another champion than the one in force.
    """
    client = open_client(ctx)
    if not verdict.passed:
        return Promotion(spec.name, verdict.version, CHALLENGER, False, verdict.sentence)
    # The aliases are read under the lock that they are moved under: a rollback meanwhile is seen, not overwritten.
    with writer_lock(ctx.home, f"promotion of {spec.name}", area=ACTS):
        return _promote(client, spec.name, ctx, verdict, who or ctx.actor)


def _promote(client: Any, name: str, ctx: ModelContext, verdict: Verdict, actor: str) -> Promotion:
    """Champion, shadow or a place in the queue, by the aliases as they are; the lock is held."""
    number = verdict.version
    require_clearance(client, ctx.home, name, number)
    if (moved := _champion_moved(client, ctx, verdict)) is not None:
        return Promotion(name, number, CHALLENGER, False, f"version {number} not promoted, because {moved}")
    if is_stopped(client, name):
        return Promotion(name, number, CHALLENGER, False, f"version {number} not promoted, because {_STOPPED}")
    now = aliases(client, name)
    nights = 0 if ctx.site is None else int(ctx.site.shadow_nights)
    # Where no champion acts, as when its files are damaged, there is nobody who goes on meanwhile.
    if CHAMPION not in now or nights == 0 or verdict.champion is None:
        return crown(client, ctx, name, number, actor, verdict.sentence)
    if SHADOW in now and now[SHADOW] != number:
        waiting = f"{verdict.sentence}; version {now[SHADOW]} is already in the shadow"
        return Promotion(name, number, CHALLENGER, False, waiting)
    client.set_model_version_tag(name, number, "shadow_since", _moment(ctx.as_of))
    carry_out(client, ctx.home, new_move("shadow", name, now, {SHADOW: number}, actor, verdict.sentence), ctx.site)
    return Promotion(name, number, SHADOW, True, f"{verdict.sentence}; {nights} nights in the shadow first")


def acting(client: Any, home: Home, name: str, *, audited: bool) -> str | None:
    """The version that acts now; None while none does. `audited` as `champion`."""
    reigning = champion(home, name, client=client, audited=audited)
    return reigning.version.number if reigning is not None and reigning.version is not None else None


def _champion_moved(client: Any, ctx: ModelContext, verdict: Verdict) -> str | None:
    """Why a verdict does not speak of the champion in force; None when it does. The lock is held."""
    number = acting(client, ctx.home, verdict.name, audited=ctx.is_guarded)
    if number == verdict.champion:
        return None
    judged = f"champion {verdict.champion}" if verdict.champion else "no champion"
    reigns = f"version {number} reigns" if number else "none reigns any more"
    return f"it was judged against {judged} and meanwhile {reigns}; the next verdict decides"


def crown(client: Any, ctx: ModelContext, name: str, number: str, who: str, why: str) -> Promotion:
    """Make a version champion; the one that acted becomes previous. The lock is held."""
    now = aliases(client, name)
    after: dict[str, str | None] = {CHAMPION: number}
    # A version that someone moved the alias to and that may not act is no champion to come back to.
    if (former := acting(client, ctx.home, name, audited=ctx.is_guarded)) not in (None, number):
        after = {PREVIOUS: former, CHAMPION: number}
    after |= {alias: None for alias in (SHADOW, CHALLENGER) if now.get(alias) == number}
    carry_out(client, ctx.home, new_move("promote", name, now, after, who, why), ctx.site)
    return Promotion(name, number, CHAMPION, True, why)


def shadow_due(spec: SolutionSpec, ctx: ModelContext) -> str | None:
    """The version whose nights in the shadow are over; judge it again, then `graduate` it. None when there is none."""
    client = open_client(ctx)
    number = aliases(client, spec.name).get(SHADOW)
    if number is None:
        return None
    since = get_version(client, spec.name, number, ctx.home).tags.get("shadow_since")
    nights = 0 if ctx.site is None else int(ctx.site.shadow_nights)
    now = ctx.as_of or wall_now()
    is_over = since is None or now - datetime.fromisoformat(since) >= timedelta(days=nights)
    return number if is_over else None


def graduate(spec: SolutionSpec, ctx: ModelContext, verdict: Verdict, *, who: str | None = None) -> Promotion:
    """Out of the shadow: champion when the new verdict on later rows passed, else out.

    It stays there when the verdict can't tell, is on another champion than the one in force, or a person took the
    champion away.
    """
    client = open_client(ctx)
    name, number, actor = spec.name, verdict.version, who or ctx.actor
    if verdict.status == "insufficient":
        return Promotion(name, number, SHADOW, False, f"stays in the shadow: {verdict.sentence}")
    with writer_lock(ctx.home, f"end of the shadow of {name}", area=ACTS):
        if (moved := _champion_moved(client, ctx, verdict)) is not None:
            return Promotion(name, number, SHADOW, False, f"stays in the shadow: {moved}")
        if is_stopped(client, name):
            return Promotion(name, number, SHADOW, False, f"stays in the shadow: {_STOPPED}")
        if verdict.passed:
            require_clearance(client, ctx.home, name, number)
            return crown(client, ctx, name, number, actor, f"after its nights in the shadow: {verdict.sentence}")
        now = aliases(client, name)
        carry_out(client, ctx.home, new_move("shadow", name, now, {SHADOW: None}, actor, verdict.sentence), ctx.site)
    return Promotion(name, number, CHALLENGER, True, f"taken out of the shadow: {verdict.sentence}")


def leave_shadow(spec: SolutionSpec, ctx: ModelContext, number: str, why: str) -> Promotion:
    """Take a version that can't be judged out of the shadow, so that the next challenger finds a place there.

    Args:
        spec: the solution.
        ctx: registry and actor.
        number: the version.
        why: the reason, for the audit and the sentence.

    Returns:
        What became of it; nothing is moved when another version is in the shadow by now.
    """
    client = open_client(ctx)
    with writer_lock(ctx.home, f"end of the shadow of {spec.name}", area=ACTS):
        now = aliases(client, spec.name)
        is_there = now.get(SHADOW) == number
        if is_there:
            move = new_move("shadow", spec.name, now, {SHADOW: None}, ctx.actor, why)
            carry_out(client, ctx.home, move, ctx.site)
    return Promotion(spec.name, number, CHALLENGER, is_there, f"taken out of the shadow: {why}")
