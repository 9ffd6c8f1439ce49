"""What can be said of the dependencies: the lock's hashes and pins, consistency, licences, known vulnerabilities."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import tomllib
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path
from typing import Literal

CANARY = "jinja2==2.10"
"""A release with published advisories: an index that knows of none for it has no advisories at all."""
_PIN = re.compile(r"^([A-Za-z0-9._-]+)==(\S+)")
_COPYLEFT = re.compile(r"\bAGPL|Affero", re.IGNORECASE)


@dataclass(frozen=True)
class Finding:
    """One question that was asked of the dependencies; `not_checked` where it could not be answered here."""

    what: str
    verdict: Literal["passed", "failed", "not_checked"]
    found: str

    def __str__(self) -> str:
        return f"audit: {self.verdict.replace('_', ' ').upper()}: {self.what}: {self.found}"


def audit(root: Path) -> list[Finding]:
    """All findings; those of this machine only, but for the last, which asks the package index for advisories."""
    lock = (root / "requirements.lock").read_text(encoding="utf-8")
    return [_pins(lock), _consistent(root), _licences(), vulnerabilities(root / "requirements.lock")]


def entries(lock: str) -> list[str]:
    """Requirements of a lock, each in one line with its hashes."""
    joined = re.sub(r"\\\n\s*", " ", lock)
    return [line for line in joined.splitlines() if line.strip() and not line.lstrip().startswith("#")]


def unpinned(lock: str) -> list[str]:
    """Requirements that are not one version with a SHA-256: another index could answer with something else."""
    return [each.split()[0] for each in entries(lock) if not _PIN.match(each) or "--hash=sha256:" not in each]


def _pins(lock: str) -> Finding:
    bad = unpinned(lock)
    return Finding(
        "each requirement of the lock is one version with hashes",
        "failed" if bad else "passed",
        ", ".join(bad[:5]) or f"{len(entries(lock))} requirements",
    )


def _consistent(root: Path) -> Finding:
    """What `pip check` misses, but for what the project itself left out (`override-dependencies`)."""
    command = [sys.executable, "-m", "pip", "check", "--disable-pip-version-check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    overrides = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["uv"][
        "override-dependencies"
    ]
    left_out = [re.split(r"[^A-Za-z0-9._-]", each)[0] for each in overrides]
    lines = (done.stdout + done.stderr).strip().splitlines() if done.returncode else []
    lines = [line for line in lines if not any(f"requires {name}, which is not installed" in line for name in left_out)]
    return Finding("pip check", "failed" if lines else "passed", "; ".join(lines[:5]) or f"but for {left_out}")


def _licences() -> Finding:
    """The platform is under Apache-2.0: a package whose terms reach what it is served with must not come in unseen."""
    found = []
    for each in distributions():
        told = [each.metadata.get("License-Expression") or "", (each.metadata.get("License") or "")[:200]]
        told += [line for line in each.metadata.get_all("Classifier") or [] if line.startswith("License")]
        if any(_COPYLEFT.search(text) for text in told):
            found.append(each.metadata["Name"])
    return Finding("no package under the AGPL", "failed" if found else "passed", ", ".join(sorted(found)) or "none")


def vulnerabilities(lock: Path) -> Finding:
    """pip-audit, where the index answers with advisories; where it knows of none, that nothing was checked is said."""
    what = "no known vulnerability (pip-audit)"
    with tempfile.TemporaryDirectory() as folder:
        canary = Path(folder) / "canary.txt"
        canary.write_text(f"{CANARY}\n", encoding="utf-8")
        known = _asked(canary, "--no-deps")
    if isinstance(known, str):
        return Finding(what, "not_checked", known)
    if not known:
        return Finding(what, "not_checked", f"this index has no advisories: none is known to it of {CANARY}")
    found = _asked(lock, "--require-hashes")
    if isinstance(found, str):
        return Finding(what, "not_checked", found)
    return Finding(what, "failed" if found else "passed", ", ".join(found) or "none")


def _asked(requirements: Path, *options: str) -> list[str] | str:
    """Packages with advisories; a sentence where pip-audit could not say."""
    command = [sys.executable, "-m", "pip_audit", "--disable-pip", "--progress-spinner", "off", "--format", "json"]
    try:
        done = subprocess.run(
            [*command, *options, "-r", str(requirements)], capture_output=True, text=True, check=False, timeout=300
        )
        told = json.loads(done.stdout)["dependencies"]
    except subprocess.TimeoutExpired:
        return "pip-audit did not answer within 300 s"
    except (ValueError, KeyError):
        return f"pip-audit gave no answer: {(done.stderr.strip().splitlines() or ['nothing'])[-1][:200]}"
    found = [f"{each['name']} ({each['vulns'][0]['id']})" for each in told if each.get("vulns")]
    left_out = [each["skip_reason"] for each in told if "skip_reason" in each]
    return found if found or not left_out else f"pip-audit left out {len(left_out)}, the first: {left_out[0]}"


def main() -> int:
    """Print each finding; 1 where one failed."""
    findings = audit(Path(__file__).parents[2])
    for each in findings:
        print(each)
    return int(any(each.verdict == "failed" for each in findings))


if __name__ == "__main__":
    sys.exit(main())
