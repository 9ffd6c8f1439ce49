"""Who acts: a person whom the operating system or a signed token of the identity provider names."""

from __future__ import annotations

import os
import pwd
import stat
import sys
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from pipelines.control_plan.access import NEEDED_ROLE, ROLES, Access, ActKind, Issuer, Role
from pipelines.control_plan.errors import CellworksError

TOKEN_VARIABLE: Final = "CELLWORKS_TOKEN_FILE"  # noqa: S105 - the name of a variable
"""Names a file, so that a token stands neither in a command line nor in an environment that processes inherit."""
STANDARD_INPUT: Final = "-"
"""In the file's place: who acts through another account of the machine hands the token in, and no file of that account
holds what the others who may use it could read."""
_LONGEST_TOKEN = 16_384
_LONGEST_NAME = 200


@dataclass(frozen=True)
class Person:
    """Somebody who acts.

    Attributes:
        name: as the source of identities gives it.
        role: the highest role held; `unguarded` where the site names no roles.
        source: who vouches for the name: the issuer's address, `operating_system` or `said` (nobody does).
    """

    name: str
    role: Role | str
    source: str


def authorise(access: Access, act: ActKind, said: str | None = None) -> Person:
    """The person who acts, if they may.

    Args:
        access: the site's rules.
        act: what they are about to do.
        said: the name they give themselves (`--who`); counts only where the site names no roles.

    Raises:
        CellworksError: nobody is named, the name is not proved, or the person lacks the role.
    """
    if not access.is_guarded:
        name = said.strip() if said else machine_user()
        return Person(_plain(name), "unguarded", "said" if said else "operating_system")
    if access.issuer is not None:
        issuer = access.issuer
        name, groups = _of_claims(issuer, claims_of(issuer, read_token(), _keys(issuer)))
        source = issuer.url
    else:
        name, groups, source = _plain(machine_user()), frozenset[str](), "operating_system"
    if said is not None and said != name:
        raise CellworksError(
            f"{said!r} is not who you are",
            expected=f"{name}, whom {source} vouches for",
            found=f"--who {said}",
            mend="leave --who out",
        )
    return Person(name, _require_role(access, act, name, groups), source)


def machine_user() -> str:
    """The user whom this process runs as; no variable of the environment can name another.

    Raises:
        CellworksError: the machine's user has no name (a bare user id of a container).
    """
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError as error:
        raise CellworksError(
            "nobody is named who decides",
            expected="the name of a person, kept in the audit",
            found="this machine's user has no name",
            mend="give --who NAME",
        ) from error


def read_token() -> str:
    """The token in the file that `CELLWORKS_TOKEN_FILE` names, or on standard input where it is `-`.

    Raises:
        CellworksError: none is named, it is not there, others may read it, or it is no token by its size.
    """
    named = os.environ.get(TOKEN_VARIABLE, "").strip()
    if not named:
        raise _refused("no token is given", f"{TOKEN_VARIABLE} with the name of a file", "nothing")
    token, where = (_handed_in(), "standard input") if named == STANDARD_INPUT else (_of_file(named), named)
    if not token or len(token) > _LONGEST_TOKEN:
        raise _refused(f"{where} holds no token", f"1 to {_LONGEST_TOKEN} characters", f"{len(token)}")
    return token


@cache
def _handed_in() -> str:
    """What standard input holds; kept, as a command may ask twice who acts."""
    if sys.stdin.isatty():
        raise _refused("a token is not typed in", "a file or a pipe as standard input", "a terminal")
    return sys.stdin.buffer.read(_LONGEST_TOKEN + 1).decode("ascii", errors="replace").strip()


def _of_file(named: str) -> str:
    try:
        with Path(named).open(encoding="ascii") as file:
            mode = os.fstat(file.fileno()).st_mode
            if not stat.S_ISREG(mode) or mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise _refused("others may read the token", "a file of yours alone", named, f"chmod 600 {named}")
            return file.read(_LONGEST_TOKEN + 1).strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not plain text"
        raise _refused("the token can't be read", "a readable file", f"{named}: {reason}") from error


def claims_of(issuer: Issuer, token: str, keys: dict[str, Any], now: float | None = None) -> dict[str, Any]:
    """The claims of a token that this issuer signed for this installation, and that is in force.

    Args:
        issuer: whose tokens are believed.
        token: a JWT in compact form.
        keys: the issuer's public keys, a JSON Web Key Set.
        now: seconds since 1970; default the clock's.

    Raises:
        CellworksError: signature, algorithm, key, issuer, audience or time is not as it must be. The message never
            holds the token.
    """
    from joserfc import jwt
    from joserfc.errors import JoseError
    from joserfc.jwk import KeySet

    must: Any = {
        "iss": {"essential": True, "value": issuer.url},
        "aud": {"essential": True, "value": issuer.audience},
        "exp": {"essential": True},
        "iat": {"essential": True},
        issuer.person_claim: {"essential": True},
    }
    try:
        # Only asymmetric algorithms can be listed, so neither `none` nor a public key taken for an HMAC secret passes.
        decoded = jwt.decode(token, KeySet(_public(keys)), algorithms=list(issuer.algorithms))
        jwt.JWTClaimsRegistry(now=None if now is None else int(now), leeway=issuer.clock_skew_s, **must).validate(
            decoded.claims
        )
    except (JoseError, ValueError) as error:
        reason = error.error if isinstance(error, JoseError) else "it is no token of this form"
        claim = getattr(error, "claim", None)
        raise _refused(
            "the token is refused",
            f"a token in force that {issuer.url} signed for {issuer.audience}",
            f"{reason}{f' ({claim})' if claim else ''}",
        ) from error
    claims = dict(decoded.claims)
    audiences = claims["aud"]
    if isinstance(audiences, list) and len(audiences) > 1 and claims.get("azp") != issuer.audience:
        raise _refused("the token is refused", f"azp {issuer.audience}, as it is for several", "another party's token")
    return claims


def _keys(issuer: Issuer) -> dict[str, Any]:
    from pipelines.access.keys import fetch_keys

    return fetch_keys(issuer)


def _public(keys: dict[str, Any]) -> list[Any]:
    """The keys that can only verify; a secret one in the set would be another kind of mistake, and is left out.

    So is a key that the library can't read, such as one of a curve that it does not know: it signed nothing that
    could be believed, and must not keep out those whom the others signed for.
    """
    from joserfc.errors import JoseError
    from joserfc.jwk import import_key

    found = keys.get("keys")
    usable = []
    for key in found if isinstance(found, list) else []:
        if isinstance(key, dict) and key.get("kty") in ("RSA", "EC", "OKP") and key.get("use", "sig") == "sig":
            with suppress(JoseError, ValueError, TypeError, KeyError):
                usable.append(import_key(key))
    if not usable:
        raise _refused("the issuer shows no key that signs", "a JSON Web Key Set with RSA, EC or OKP keys", "none")
    return usable


def _of_claims(issuer: Issuer, claims: dict[str, Any]) -> tuple[str, frozenset[str]]:
    name, groups = claims[issuer.person_claim], claims.get(issuer.groups_claim, [])
    if not isinstance(name, str) or not isinstance(groups, list):
        raise _refused(
            "the token names nobody",
            f"a text as {issuer.person_claim} and a list as {issuer.groups_claim}",
            "other kinds of values",
        )
    return _plain(name), frozenset(group for group in groups if isinstance(group, str))


def _plain(name: str) -> str:
    """A name that can stand in a line of an audit: no control characters that would fake another line."""
    if not name.strip() or len(name) > _LONGEST_NAME or not name.isprintable():
        raise CellworksError(
            "that is no name of a person",
            expected=f"1 to {_LONGEST_NAME} printable characters",
            found=repr(name[:_LONGEST_NAME]),
            mend="give --who NAME",
        )
    return name


def _require_role(access: Access, act: ActKind, name: str, groups: frozenset[str]) -> Role:
    role, needed = access.role_of(name, groups), NEEDED_ROLE[act]
    if role is None or ROLES.index(role) < ROLES.index(needed):
        raise CellworksError(
            f"{name} may not do this: {act}",
            expected=f"role {needed}{'' if needed == ROLES[-1] else ' or higher'}",
            found=f"role {role}" if role else "no role at this site",
            mend="ask somebody who has the role, or an admin to add you to `access.roles` of site.yaml",
        )
    return role


def _refused(what: str, expected: str, found: str, mend: str = "") -> CellworksError:
    mend = mend or f"sign in again, put the new token into a file of yours alone and name it with {TOKEN_VARIABLE}"
    return CellworksError(what, expected=expected, found=found, mend=mend)
