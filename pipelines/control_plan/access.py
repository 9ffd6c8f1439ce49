"""Who may do what at a site: roles of people and groups, acts that need a role, and who vouches for a name."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from pipelines.control_plan.feeds import Model

Role = Literal["viewer", "engineer", "approver", "admin"]
ROLES: Final[tuple[Role, ...]] = ("viewer", "engineer", "approver", "admin")
"""Each may what those before it may."""

ActKind = Literal[
    "promotion",
    "retirement",
    "rollback",
    "override",
    "revocation",
    "approve_action",
    "reject_action",
    "quarantine_replay",
    "write_mode",
    "migration",
    "backup",
    "restore",
    "prune",
    "pack_import",
    "audit_accept",
    "access_adopt",
]
NEEDED_ROLE: Final[dict[ActKind, Role]] = {
    "promotion": "approver",
    "retirement": "approver",
    "rollback": "approver",
    "override": "approver",
    "revocation": "approver",
    "approve_action": "approver",
    "reject_action": "approver",
    "quarantine_replay": "engineer",
    "write_mode": "admin",
    "migration": "admin",
    "backup": "admin",
    "restore": "admin",
    "prune": "admin",
    "pack_import": "engineer",
    "audit_accept": "admin",
    "access_adopt": "admin",
}
# How many people approve an action is the kind's own `approvals`; a migration begins where no request can be kept.
TwoPersonAct = Literal[
    "promotion",
    "retirement",
    "rollback",
    "override",
    "revocation",
    "quarantine_replay",
    "write_mode",
    "audit_accept",
    "access_adopt",
]
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


class Holders(Model):
    """Who has a role.

    Attributes:
        people: names, as the source of identities gives them.
        groups: groups of the identity provider; of no use where the operating system names people.
    """

    people: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()


class Issuer(Model):
    """The OpenID Connect provider whose tokens are believed.

    Attributes:
        url: the issuer, exactly as the tokens' `iss` has it.
        audience: this installation's client id, which the tokens' `aud` must hold.
        jwks_url: address of its public keys; left out, it is read from the issuer's discovery document.
        algorithms: signatures that are accepted; only those whose verifying key can't sign.
        person_claim: claim that names the person; it must be one that the provider never gives to another.
        groups_claim: claim that lists the person's groups.
        clock_skew_s: how far the provider's clock and ours may disagree.
    """

    url: str
    audience: Annotated[str, Field(min_length=1)]
    jwks_url: str | None = None
    algorithms: tuple[Literal["RS256", "PS256", "ES256", "EdDSA"], ...] = Field(("RS256", "ES256"), min_length=1)
    person_claim: Annotated[str, Field(min_length=1)] = "sub"
    groups_claim: Annotated[str, Field(min_length=1)] = "groups"
    clock_skew_s: Annotated[int, Field(ge=0, le=300)] = 60

    @field_validator("url", "jwks_url")
    @classmethod
    def _encrypted(cls, value: str | None) -> str | None:
        if value is None:
            return value
        parts = urlsplit(value)
        if not parts.hostname or not (
            parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)
        ):
            raise ValueError(f"expected an https address (http only on the loopback address), found {value!r}")
        return value


class Access(Model):
    """Who may do what. Left out, the user of the machine may do all, as on a laptop.

    Attributes:
        identity: who vouches for a name: `operating_system` (the machine's user) or `oidc` (a signed token of the
            issuer, in the file that CELLWORKS_TOKEN_FILE names, or on standard input).
        issuer: the provider, with `oidc`.
        roles: who has which role; each role may what those before it may (viewer, engineer, approver, admin). None
            named: everybody may do everything, and names are taken at their word.
        second_person: acts that wait until another person of the role has said the same.
        request_valid_h: how long the first person's request waits for the second, in hours.
    """

    identity: Literal["operating_system", "oidc"] = "operating_system"
    issuer: Issuer | None = None
    roles: dict[Role, Holders] = Field(default_factory=dict)
    second_person: tuple[TwoPersonAct, ...] = ()
    request_valid_h: Annotated[float, Field(gt=0)] = 24

    @model_validator(mode="after")
    def _complete(self) -> Access:
        if (self.identity == "oidc") != (self.issuer is not None):
            raise ValueError("an issuer belongs to identity oidc, and identity oidc needs one")
        if self.issuer is not None and not self.roles:
            raise ValueError("identity oidc without roles would let nobody do anything; name who is admin")
        if self.second_person and not self.roles:
            raise ValueError("a second person can't be told from the first where no roles are named; name roles")
        if self.issuer is None and any(each.groups for each in self.roles.values()):
            raise ValueError("groups come from an identity provider; list people, or set identity to oidc")
        admins = self.roles.get("admin", Holders())
        if self.roles and not (admins.people or admins.groups):
            raise ValueError("nobody could ever change the rules that the lake will keep; name who is admin")
        if "access_adopt" in self.second_person and not admins.groups and len(set(admins.people)) < 2:
            raise ValueError("one admin alone could never change rules that want a second person; name another admin")
        return self

    def canonical(self) -> dict[str, Any]:
        """The rules as a document that is the same for the same rules.

        Order and repetition of names tell nothing, nor does what is written out as it is when left out.
        """
        told = self.model_dump(mode="json", exclude_defaults=True)
        for holders in told.get("roles", {}).values():
            holders.update({name: sorted(set(holders[name])) for name in holders})
        if "second_person" in told:
            told["second_person"] = sorted(set(told["second_person"]))
        return told

    @property
    def is_guarded(self) -> bool:
        """Whether roles are named, so that a name must be proved."""
        return bool(self.roles)

    def role_of(self, person: str, groups: frozenset[str]) -> Role | None:
        """The highest role of a person; None for a stranger."""
        held = [
            role
            for role in ROLES
            if (holders := self.roles.get(role)) is not None
            and (person in holders.people or not groups.isdisjoint(holders.groups))
        ]
        return held[-1] if held else None
