"""The site is whole, stands alone, and names what the code has."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path

import pytest
from typer.core import TyperGroup
from typer.main import get_command

from orchestration import components
from orchestration.cli.main import app
from orchestration.domains import DOMAINS
from pipelines.lake.schemas import OPS_TABLES

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
_REMOTE = re.compile(r"""(?:src|href)=["'](?:https?:)?//|url\(["']?(?:https?:)?//|@import\s+["'](?:https?:)?//""")
_VARIABLE = re.compile(r"CELLWORKS_[A-Z_]*[A-Z]")


def commands() -> dict[str, bool]:
    """Every command as it is typed, and whether it is a group of commands."""
    found: dict[str, bool] = {}

    def walk(group: TyperGroup, name: str) -> None:
        for part, each in group.commands.items():
            found[f"{name} {part}"] = isinstance(each, TyperGroup)
            if isinstance(each, TyperGroup):
                walk(each, f"{name} {part}")

    root = get_command(app)
    assert isinstance(root, TyperGroup)
    walk(root, "cellworks")
    return found


def _page(site: Path, name: str) -> str:
    return unescape((site / name).read_text(encoding="utf-8"))


def test_no_page_loads_anything_from_elsewhere(site: Path) -> None:
    pages = [file for suffix in ("html", "css") for file in site.rglob(f"*.{suffix}")]
    assert len(pages) > 40
    remote = {str(page.relative_to(site)) for page in pages if _REMOTE.search(page.read_text(encoding="utf-8"))}
    assert remote == set()


@pytest.mark.parametrize(("command", "is_group"), sorted(commands().items()))
def test_every_command_is_in_the_reference_with_an_example(site: Path, command: str, is_group: bool) -> None:
    page = _page(site, "reference/commands.html")
    assert f"<code>{command}</code>" in page
    section = page.split(f"<code>{command}</code>", 1)[1].split("<h", 1)[0]
    assert "Usage" in section
    assert is_group or re.search(rf"Example: *(?:<[a-z]+>)*{command}\b", section), section[:500]


def test_every_environment_variable_is_documented_and_none_is_made_up(texts: dict[str, str]) -> None:
    sources = [
        file
        for folder in ("orchestration", "models", "expectations", "pipelines")
        for file in ROOT.glob(f"{folder}/**/*.py")
    ]
    read = {
        name
        for file in [*sources, ROOT / "Makefile", ROOT / "tests" / "servers.py"]
        for name in _VARIABLE.findall(file.read_text(encoding="utf-8"))
    }
    assert "CELLWORKS_HOME" in read
    assert set(_VARIABLE.findall(texts["docs/reference/environment.md"])) == read


def test_every_make_target_is_explained_and_every_named_one_exists(texts: dict[str, str]) -> None:
    targets = set(re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert "demo" in targets
    explained = set(re.findall(r"^\| `make ([a-z-]+)`", texts["CONTRIBUTING.md"], re.MULTILINE))
    assert explained == targets
    named = {name for text in texts.values() for name in re.findall(r"(?:`|^\$? *)make ([a-z-]+)", text, re.MULTILINE)}
    assert named <= targets


def test_every_asset_group_and_job_is_in_the_reference_and_in_the_picture(site: Path) -> None:
    page = _page(site, "reference/platform.html")
    section = page.split('id="asset-groups"', 1)[1].split("<h2", 1)[0]
    groups = re.findall(r"<td><code>([a-z_]+)</code></td>", section)
    assert {f"{layer}_{domain}" for layer in ("raw", "staging", "marts") for domain in DOMAINS} < set(groups)
    picture = (ROOT / "docs" / "images" / "graph.svg").read_text(encoding="utf-8")
    missing = [group for group in groups if f">{group}<" not in picture]
    assert missing == [], "run `make docs-graph`"


@pytest.mark.parametrize("name", components.__all__)
def test_every_component_is_in_the_reference_and_in_a_how_to(site: Path, texts: dict[str, str], name: str) -> None:
    assert f"orchestration.components.{name}" in _page(site, "reference/platform.html")
    assert any(f"orchestration.components.{name}" in text for path, text in texts.items() if "how-to" in path)


def test_every_solution_and_table_is_named(site: Path) -> None:
    jobs = _page(site, "reference/platform.html")
    for file in (ROOT / "orchestration" / "defs").glob("*/*/defs.yaml"):
        assert f"{file.parent.parent.name}__{file.parent.name}" in jobs
    marts = _page(site, "reference/marts.html")
    for file in (ROOT / "dbt" / "models" / "marts").glob("*/*.sql"):
        assert file.stem in marts


def test_every_table_of_the_platforms_own_records_is_named(texts: dict[str, str]) -> None:
    assert [name for name in OPS_TABLES if f"`{name}`" not in texts["docs/reference/tables.md"]] == []


def test_pictures_are_small_and_used(texts: dict[str, str]) -> None:
    pictures = [file for file in (ROOT / "docs" / "images").iterdir() if file.is_file()]
    assert pictures
    assert [file.name for file in pictures if file.stat().st_size > 200_000] == []
    everything = "\n".join(texts.values())
    assert [file.name for file in pictures if f"images/{file.name}" not in everything] == []
