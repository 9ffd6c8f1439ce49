"""What people are told to type exists; what they are shown is current."""

from __future__ import annotations

import importlib
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from typer.core import TyperGroup
from typer.main import get_command
from typer.testing import CliRunner

from models.families import FAMILIES
from orchestration.cli.main import app
from pipelines.control_plan.feeds import Feed
from pipelines.control_plan.plan import Characteristic
from pipelines.control_plan.site import Site

ROOT = Path(__file__).resolve().parents[2]
# A command at the start of a line or of inline code; words up to the end of that line or code.
_COMMAND = re.compile(
    r"(?:^\s*(?:\$ )?|`|\$ |=)(?:[A-Z_]+=\S+ )*(?:\.venv/bin/)?cellworks ((?:[^`\n\\#]|\\\n)*)", re.MULTILINE
)
_MACHINE = re.compile(r"/work/|/root/|/tmp/pytest|/usr/local/lib")


def _typed(texts: dict[str, str]) -> list[tuple[str, str]]:
    found = {
        (path, " ".join(match.replace("\\\n", " ").split()))
        for path, text in texts.items()
        for match in _COMMAND.findall(text)
    }
    return sorted(found)


def _unknown(line: str) -> str:
    """What of a typed command the command line does not know; empty when all is known."""
    words = shlex.split(line.replace("...", "x"), posix=True)
    command: Any = get_command(app)
    while words and isinstance(command, TyperGroup) and not words[0].startswith("-"):
        if words[0] not in command.commands:
            return words[0]
        command = command.commands[words.pop(0)]
    options = {name for parameter in command.params for name in parameter.opts} | {"--help"}
    return next((word for word in words if word.startswith("--") and word.split("=")[0] not in options), "")


def test_every_command_that_people_are_told_to_type_exists(texts: dict[str, str]) -> None:
    typed = [(path, line) for path, line in _typed(texts) if re.match(r"[a-z-]", line)]
    assert len(typed) > 40
    assert {(path, line, _unknown(line)) for path, line in typed if _unknown(line)} == set()


def test_help_of_the_tutorials_commands_works(texts: dict[str, str]) -> None:
    names = {line.split(" --")[0].split()[0] for path, line in _typed(texts) if path == "docs/tutorial.md"}
    assert names
    for name in sorted(names):
        assert CliRunner().invoke(app, [name, "--help"]).exit_code == 0, name


def test_a_command_that_is_not_there_is_noticed() -> None:
    assert _unknown("nightly --only a/b") == ""
    assert _unknown("nightly --onyl a/b") == "--onyl"
    assert _unknown("nighty") == "nighty"
    assert _unknown("actions aprove 1a2b") == "aprove"


def test_links_between_readme_contributing_and_docs_resolve(texts: dict[str, str]) -> None:
    broken = {
        (path, target)
        for path in ("README.md", "CONTRIBUTING.md")
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", texts[path])
        if "://" not in target and not (ROOT / target).exists()
    }
    assert broken == set()


def test_no_text_names_a_machines_own_paths(texts: dict[str, str]) -> None:
    assert {path for path, text in texts.items() if _MACHINE.search(text)} == set()


def test_every_decision_says_context_decision_rivals_and_consequences(texts: dict[str, str]) -> None:
    records = {path: text for path, text in texts.items() if re.search(r"decisions/\d{4}-", path)}
    assert len(records) >= 15
    numbers = sorted(int(Path(path).name[:4]) for path in records)
    assert numbers == list(range(1, len(numbers) + 1))
    for path, text in records.items():
        assert text.startswith(f"# {int(Path(path).name[:4])}. "), path
        for part in ("Context", "Decision", "Rivals", "Consequences"):
            assert f"**{part}.**" in text, (path, part)
        assert f"({Path(path).name})" in texts["docs/decisions/index.md"], path


@pytest.mark.parametrize("page", [*(family.spec for family in FAMILIES), Site, Characteristic, Feed])
def test_every_field_that_people_write_has_a_meaning(monkeypatch: pytest.MonkeyPatch, page: type[BaseModel]) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "docs" / "_reference"))
    pages = importlib.import_module("schema_pages")
    silent = [
        f"{model.__name__}.{name}"
        for model in pages.documented_models([page])
        for name, _ in pages.fields(model)
        if not pages.meaning(model, name)
    ]
    assert silent == []


@pytest.mark.slow
def test_the_json_of_the_readme_is_what_status_prints(texts: dict[str, str], tmp_path: Path) -> None:
    shown = json.loads(re.findall(r"```json\n(.*?)```", texts["README.md"], re.DOTALL)[0])
    env = {**os.environ, "CELLWORKS_HOME": str(tmp_path / "home")}
    tool = Path(sys.executable).parent / "cellworks"
    subprocess.run([tool, "init"], env=env, check=True, capture_output=True, timeout=120)
    run = subprocess.run([tool, "status", "--json"], env=env, check=True, capture_output=True, text=True, timeout=120)
    real = json.loads(run.stdout)
    assert _shape(shown) == _shape({**real, "solutions": real["solutions"][:1]})


def _shape(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _shape(each) for name, each in value.items()}
    return [_shape(each) for each in value] if isinstance(value, list) else "value"
