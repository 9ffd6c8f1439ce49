"""Model versions: finding them, loading their bundle, and whether they may act."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.registry.audit import is_revoked, standing
from models.registry.client import open_at, pages
from models.registry.contents import BUNDLE, FILES, Owner, UntrustedFilesError, refuse_unlisted, require_listed
from models.registry.fetched import folder_of, forget, is_here
from models.registry.signing import bundle_digest, is_sealed, seal
from models.scoring.runtime import Scorer
from pipelines.control_plan.errors import CellworksError
from pipelines.lake.home import Home

CHAMPION, PREVIOUS, CHALLENGER, SHADOW = "champion", "previous", "challenger", "shadow"
ALIASES = (CHALLENGER, SHADOW, CHAMPION, PREVIOUS)


@dataclass(frozen=True)
class Version:
    """One version of a registered model.

    Attributes:
        name: `<stage>.<slug>`.
        number: Version number as text.
        run_id: Its MLflow run.
        tags: Tags of the version.
        location: Address of the model's files, as the registry gives it.
        home: The instance whose key seals lists of files and verdicts.
    """

    name: str
    number: str
    run_id: str
    tags: dict[str, str]
    location: str
    home: Home

    @property
    def folder(self) -> Path:
        """Folder of the model on this machine, fetched at first need; nothing of it is loaded but through `bundle`."""
        return folder_of(self.home, self.run_id, self.number, self.location)

    @property
    def bundle(self) -> Path:
        """The folder with bundle and boosters, each file compared with what was registered.

        Raises:
            UntrustedFilesError: see `check`.
        """
        self.check()
        return self.folder / BUNDLE

    def check(self) -> None:
        """Compare each file with what was registered.

        A version of an earlier release has no list of files: the verdict on it seals the same content. A copy that was
        damaged here is fetched anew before it counts against the version.

        Raises:
            UntrustedFilesError: a file is missing or another one, or nothing says what the files were.
        """
        try:
            self._compare()
        except UntrustedFilesError:
            if is_here(self.location):
                raise
            forget(self.home, self.run_id, self.number)
            self._compare()

    def _compare(self) -> None:
        owner, folder = Owner(self.name, self.number, self.run_id), self.folder / BUNDLE
        if FILES in self.tags:
            require_listed(self.home, owner, self.tags, self.folder)
        elif not folder.is_dir() or not _is_vouched_for(self, bundle_digest(folder)):
            raise refuse_unlisted(owner, self.folder)

    def scorer(self, n_threads: int = 1) -> Scorer:
        """Load the predictor."""
        return Scorer.load(self.bundle, n_threads)


@dataclass(frozen=True)
class Champion:
    """The version that may act, and an alarm when it is not the one that the alias names.

    Attributes:
        version: The version; None, never without an alarm, when no version that was champion is cleared.
        alarm: Why the alias is not followed; None when it is.
    """

    version: Version | None
    alarm: str | None = None


def get_version(client: Any, name: str, number: str, home: Home) -> Version:
    """One version; its files are not fetched yet.

    Args:
        client: MLflow's client.
        name: registered model.
        number: version.
        home: the instance whose key seals what is said of it.

    Raises:
        CellworksError: no such version.
    """
    from mlflow.exceptions import MlflowException

    try:
        found = client.get_model_version(name, number)
        location = client.get_model_version_download_uri(name, number)
    except MlflowException as error:
        raise CellworksError(
            f"the model {name} has no version {number}", found=str(error).splitlines()[0], mend="see `cellworks models`"
        ) from error
    return Version(name, str(found.version), str(found.run_id), dict(found.tags), str(location), home)


def aliases(client: Any, name: str) -> dict[str, str]:
    """Alias to version number; empty for a model that is not registered."""
    from mlflow.exceptions import MlflowException

    try:
        return {alias: str(number) for alias, number in client.get_registered_model(name).aliases.items()}
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return {}
        raise


def all_versions(client: Any, name: str) -> list[Any]:
    """Every version of a model, newest first."""
    found = pages(client.search_model_versions, f"name = '{name}'")
    return sorted(found, key=lambda version: -int(version.version))


def registered_name(client: Any, slug: str) -> str | None:
    """The registered model of a slug (slugs are unique over stages), None before the first version."""
    names = [model.name for model in client.search_registered_models(f"name LIKE '%.{slug}'", max_results=100)]
    matching = [name for name in names if name.split(".", 1)[1] == slug]
    return matching[0] if matching else None


def clearance(home: Home, version: Version) -> str | None:
    """Why a version may act: `passed` or `override`; None when it may not.

    The seal covers the bundle's content, so a version whose files were changed is not cleared either.
    """
    try:
        digest = bundle_digest(version.bundle)
    except UntrustedFilesError:  # `champion` tells it
        return None
    if version.tags.get("verdict") == "passed" and _is_judged(home, version, digest):
        return "passed"
    return "override" if _is_signed_for(home, version, digest) else None


def _is_judged(home: Home, version: Version, digest: str) -> bool:
    """Whether the version's verdict, whatever it says, was made here on this content."""
    told, sealed = version.tags.get("verdict", ""), version.tags.get("verdict_seal", "")
    return is_sealed(home, sealed, version.name, version.number, told, digest)


def _is_signed_for(home: Home, version: Version, digest: str) -> bool:
    """Whether a person answers for the version with this content, and has not taken that back."""
    who, why, sealed = (version.tags.get(f"override_{part}", "") for part in ("by", "why", "seal"))
    fits = bool(who) and is_sealed(home, sealed, version.name, version.number, "override", who, why, digest)
    return fits and not is_revoked(home, version.name, version.number)


def _is_vouched_for(version: Version, digest: str) -> bool:
    """Whether this instance's key has sealed this content, with a verdict or an override."""
    return _is_judged(version.home, version, digest) or _is_signed_for(version.home, version, digest)


def tag_verdict(client: Any, home: Home, version: Version, status: str, reason: str) -> None:
    """Write a sealed verdict (`passed`, `failed`, `insufficient`) on a version."""
    sealed = seal(home, version.name, version.number, status, bundle_digest(version.bundle))
    for key, value in (("verdict", status), ("verdict_reason", reason[:4000]), ("verdict_seal", sealed)):
        client.set_model_version_tag(version.name, version.number, key, value)


def verdict_files(client: Any, run_id: str, number: str) -> list[str]:
    """Files of a version's verdicts in its run, oldest first: `verdict_3.json`, `verdict_3_2.json`, ..."""
    pattern = re.compile(rf"verdict_{re.escape(number)}(?:_(\d+))?\.json")
    found = [match for each in client.list_artifacts(run_id) if (match := pattern.fullmatch(each.path))]
    return [match.string for match in sorted(found, key=lambda match: int(match[1] or 1))]


def sign_override(home: Home, name: str, number: str, who: str, why: str, *, uri: str | None = None) -> None:
    """Clear a version that no gate has passed, under a person's name.

    Args:
        home: the instance whose key signs.
        name: registered model.
        number: version.
        who: who answers for it; not empty.
        why: the reason; not empty.
        uri: MLflow address; default the home's.

    Raises:
        CellworksError: name or reason missing, or no such version.
    """
    if not who.strip() or not why.strip():
        raise CellworksError("an override needs a name and a reason", expected="--who and --why", found="one is empty")
    client = open_at(uri or home.stores.mlflow_uri)
    version = get_version(client, name, number, home)
    sealed = seal(home, version.name, version.number, "override", who, why, bundle_digest(version.bundle))
    for key, value in (("override_by", who), ("override_why", why), ("override_seal", sealed)):
        client.set_model_version_tag(name, number, key, value)


def champion(
    home: Home, slug: str, *, uri: str | None = None, client: Any = None, audited: bool = False
) -> Champion | None:
    """The version that may act for a solution.

    Args:
        home: the instance.
        slug: the solution's slug (or its registered name).
        uri: MLflow address; default the home's.
        client: an open client, to save opening one.
        audited: follow the alias only to what the newest finished move of the audit made champion, as at a site that
            names roles: there a hand in MLflow's page takes a champion away, and makes none.

    Returns:
        The champion; when the alias names a version that is not cleared, or not the audited one, the last champion
        that may act (or no version), with an alarm. None when there is no alias.
    """
    client = client or open_at(uri or home.stores.mlflow_uri)
    name = slug if "." in slug else registered_name(client, slug)
    if name is None:
        return None
    named = aliases(client, name)
    if CHAMPION not in named:
        return None
    number, former = named[CHAMPION], standing(home, name) if audited else None
    if former is not None and former.champion != number:
        problem = "which no finished move of the audit made champion (`cellworks promote` does)"
    else:
        version = get_version(client, name, number, home)
        if clearance(home, version) is not None:
            return Champion(version)
        problem = _why_not(version)
    alarm = f"alias champion of {name} names version {number}, {problem}"
    last = _last_cleared(client, home, name, audited=audited)
    if last is None:
        # No version acts, and silence would look like a solution that was never trained.
        return Champion(None, f"{alarm}; no earlier champion may act, so nothing is scored")
    return Champion(last, f"{alarm}; version {last.number} goes on")


def _why_not(version: Version) -> str:
    """What keeps a version from acting, as the end of a sentence."""
    try:
        version.check()
    except UntrustedFilesError as error:
        return f"but {error.what} (expected {error.expected}; found {error.found})"
    return "which has no passing verdict or signed override"


def rival(home: Home, version: Version, client: Any, *, audited: bool) -> Version | None:
    """The champion that a version is judged against; None while there is none that may act. `audited` as `champion`.

    Raises:
        CellworksError: the version is the champion itself.
    """
    reigning = champion(home, version.name, client=client, audited=audited)
    acting = reigning.version if reigning else None
    if acting is not None and acting.number == version.number:
        raise CellworksError(
            f"version {version.number} of {version.name} is the champion itself", mend="judge a challenger"
        )
    return acting


def is_stopped(client: Any, name: str) -> bool:
    """Whether a person took the champion away: a version was champion once, and the alias names none."""
    return CHAMPION not in aliases(client, name) and any(
        "champion_since" in version.tags for version in all_versions(client, name)
    )


def without_champion(client: Any, name: str) -> str:
    """Why a model whose alias `champion` names no version has none, as one sentence."""
    return "the champion was taken away by hand" if is_stopped(client, name) else "there is no champion yet"


def _last_cleared(client: Any, home: Home, name: str, *, audited: bool) -> Version | None:
    """The newest former champion that is cleared and that nobody took away; of the audit's alone if that is asked."""
    kept = {str(version.version): version for version in all_versions(client, name)}
    told = standing(home, name)
    by_tag = [number for number, version in kept.items() if "champion_since" in version.tags]
    by_tag.sort(key=lambda number: kept[number].tags["champion_since"], reverse=True)
    for number in told.going_on if audited else by_tag:
        if number not in kept or number in told.away:
            continue
        version = get_version(client, name, number, home)
        if clearance(home, version) is not None:
            return version
    return None
