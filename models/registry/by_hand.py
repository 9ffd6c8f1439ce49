"""What a person moves: a version becomes champion, or a solution has none. Rollback stands in `aliases`."""

from __future__ import annotations

from models.registry.aliases import Promotion, carry_out, crown, new_move, recover, require_clearance
from models.registry.client import open_at
from models.registry.versions import CHAMPION, aliases, get_version
from pipelines.control_plan.errors import CellworksError
from pipelines.lake.home import Home
from pipelines.lake.lock import ACTS, writer_lock


def put_on(home: Home, name: str, number: str, who: str, why: str, *, uri: str | None = None) -> Promotion:
    """Make a cleared version champion; the one before becomes previous.

    Args:
        home: the instance.
        name: registered model.
        number: the version.
        who: who does it.
        why: the reason.
        uri: MLflow address; default the home's.

    Returns:
        The version that reigns.

    Raises:
        CellworksError: no such version, it may not act, or it reigns already.
    """
    recover(home, uri=uri)
    client = open_at(uri or home.stores.mlflow_uri)
    with writer_lock(home, f"promotion of {name} by {who}", area=ACTS):
        get_version(client, name, number, home)
        require_clearance(client, home, name, number)
        if aliases(client, name).get(CHAMPION) == number:
            raise CellworksError(f"version {number} of {name} is the champion already", mend="see `cellworks models`")
        return crown(client, home, name, number, who, f"made champion by {who}: {why}")


def retire(home: Home, name: str, who: str, why: str, *, uri: str | None = None) -> Promotion:
    """Take the champion away: the solution skips until a person brings one back, and nights crown none.

    Args:
        home: the instance.
        name: registered model.
        who: who does it.
        why: the reason.
        uri: MLflow address; default the home's.

    Returns:
        The version that reigned.

    Raises:
        CellworksError: there is no champion.
    """
    recover(home, uri=uri)
    client = open_at(uri or home.stores.mlflow_uri)
    with writer_lock(home, f"retirement of {name}", area=ACTS):
        now = aliases(client, name)
        if CHAMPION not in now:
            raise CellworksError(f"{name} has no champion to take away", mend="see `cellworks models`")
        carry_out(client, home, new_move("retire", name, now, {CHAMPION: None}, who, why))
    return Promotion(name, now[CHAMPION], "", True, f"version {now[CHAMPION]} taken away by {who}: {why}")
