"""Taking back the signature that a person gave for a version which no gate has passed."""

from __future__ import annotations

from typing import Any, Final

from models.context import ModelContext
from models.registry.client import open_client
from models.registry.versions import Version, clearance, get_version
from models.solution import SolutionSpec
from pipelines.control_plan.errors import CellworksError
from pipelines.lake.lock import ACTS, writer_lock

_TAGS: Final = ("override_seal", "override_why", "override_by")
"""The seal goes first: what a killed process leaves clears nothing, and is taken away by the next."""


def revoke(spec: SolutionSpec, ctx: ModelContext, number: str) -> str:
    """Take the signature for a version back; without a passing verdict it acts no more, whatever alias names it.

    Args:
        spec: the solution.
        ctx: instance and site; its actor answers for it.
        number: the version.

    Returns:
        What became of it, as one sentence.

    Raises:
        CellworksError: no such version, or nobody signed for it.
    """
    client = open_client(ctx)
    # Under the lock that aliases move under: no promotion looks at the signature and moves after it is gone.
    with writer_lock(ctx.home, f"revocation for {spec.name}", area=ACTS):
        version = get_version(client, spec.name, number, ctx.home)
        signer = signer_of(version)
        _take(client, version)
        stays = clearance(ctx.home, get_version(client, spec.name, number, ctx.home)) is not None
    after = "its verdict clears it all the same" if stays else "it may not act"
    return f"{signer}'s signature for version {number} of {spec.solution} taken back by {ctx.actor}; {after}"


def signer_of(version: Version) -> str:
    """Who signed for a version, by its tags; whether the signature fits is another question.

    Raises:
        CellworksError: nobody did.
    """
    if not any(key in version.tags for key in _TAGS):
        raise CellworksError(
            f"nobody signed for version {version.number} of {version.name}",
            expected="a version with an override",
            found="no signature",
            mend="see `cellworks models` and `cellworks audit list`; nothing was changed",
        )
    return version.tags.get("override_by") or "somebody"


def _take(client: Any, version: Version) -> None:
    for key in _TAGS:
        if key in version.tags:
            client.delete_model_version_tag(version.name, version.number, key)
