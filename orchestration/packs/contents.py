"""What a solution pack holds, and how one from outside is read: as hostile until every part was checked."""

from __future__ import annotations

import hashlib
import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from pipelines.control_plan.errors import CellworksError, PlanError
from pipelines.control_plan.yaml_file import parse_yaml
from pipelines.lake.files import file_suffix

FORMAT: Literal[1] = 1
MANIFEST, DEFS, CARD = "manifest.json", "defs.yaml", "card.md"
MAX_PACK_BYTES = 8 * 1024 * 1024
MAX_FILE_BYTES = 512 * 1024
MAX_FILES = 400
_MAX_YAML_DEPTH = 40
_MAX_YAML_NODES = 20_000
_NAME = "[a-z][a-z0-9_]{0,62}"
_FILE = re.compile(rf"solutions/({_NAME})/({_NAME})/(defs\.yaml|card\.md)|suites/{_NAME}\.yaml")
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Line = Annotated[str, Field(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]


class Manifest(BaseModel):
    """manifest.json of a pack.

    Attributes:
        format: version of this form; another one is refused.
        site: name of the site it comes from.
        exported_at: when.
        code_revision: of the code that wrote it.
        plan_hash: control plan of the site it comes from.
        files: sha256 of every other file of the pack, by name.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1]
    site: Line
    exported_at: AwareDatetime
    code_revision: Line
    plan_hash: Line
    files: dict[str, Digest] = Field(min_length=1, max_length=MAX_FILES)


@dataclass(frozen=True)
class Pack:
    """A pack whose form was checked; what its YAML says was not yet.

    Attributes:
        manifest: where it comes from.
        solutions: `defs.yaml` by stage and slug.
        cards: model card by stage and slug.
        suites: hand-written expectations by file name.
    """

    manifest: Manifest
    solutions: Mapping[tuple[str, str], str]
    cards: Mapping[tuple[str, str], str]
    suites: Mapping[str, str]


def refused(what: str, *, expected: str = "", found: str = "", where: str = "") -> CellworksError:
    """A pack that isn't taken."""
    return CellworksError(what, expected=expected, found=found, where=where, mend="ask its sender for a new export")


def digest_of(content: bytes) -> str:
    """Sha256 as the manifest has it."""
    return hashlib.sha256(content).hexdigest()


def write_pack(
    file: Path, site: str, at: datetime, code_revision: str, plan_hash: str, texts: Mapping[str, str]
) -> None:
    """Write a pack; the same content gives the same bytes.

    Raises:
        CellworksError: the file is there already, or what is to go into it is too large for a pack.
    """
    contents = {name: text.encode() for name, text in sorted(texts.items())}
    if large := [name for name, content in contents.items() if len(content) > MAX_FILE_BYTES]:
        raise CellworksError("a file is too large for a pack", expected=f"{MAX_FILE_BYTES:,} bytes", found=large[0])
    digests = {name: digest_of(content) for name, content in contents.items()}
    told = Manifest(
        format=FORMAT, site=site, exported_at=at, code_revision=code_revision, plan_hash=plan_hash, files=digests
    )
    try:
        with zipfile.ZipFile(file, "x", zipfile.ZIP_DEFLATED) as pack:
            for name, content in {MANIFEST: told.model_dump_json(indent=1).encode(), **contents}.items():
                pack.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    except FileExistsError as error:
        raise CellworksError("the file is there already", found=str(file), mend="give another name") from error


def read_pack(file: Path) -> Pack:
    """Read a pack; nothing of it is written or run.

    Raises:
        CellworksError: no pack, too large, a name that has no place in one, or content that the manifest does not know.
    """
    contents = _contents(file)
    if MANIFEST not in contents:
        raise refused("this is no solution pack", expected=f"a ZIP file with {MANIFEST}", where=str(file))
    try:
        manifest = Manifest.model_validate_json(contents.pop(MANIFEST))
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(str(part) for part in each['loc'])[:80]}: {each['msg'][:120]}"
            for each in error.errors(include_url=False, include_input=False)[:5]
        )
        expected = f"format {FORMAT}, as this release writes it"
        raise refused("the manifest of the pack is wrong", expected=expected, found=faults, where=MANIFEST) from error
    found = {name: digest_of(content) for name, content in contents.items()}
    if found != manifest.files:
        wrong = sorted(name for name in {*found, *manifest.files} if found.get(name) != manifest.files.get(name))
        raise refused(
            "the pack is not what its manifest says", expected="each file with its sha256", found=repr(wrong[0][:100])
        )
    texts = {name: _text(name, content) for name, content in contents.items()}
    return _sorted_out(manifest, texts)


def _sorted_out(manifest: Manifest, texts: Mapping[str, str]) -> Pack:
    solutions: dict[tuple[str, str], str] = {}
    cards: dict[tuple[str, str], str] = {}
    suites: dict[str, str] = {}
    for name, text in texts.items():
        parts = name.split("/")
        if parts[0] == "suites":
            suites[parts[1]] = text
        else:
            (solutions if parts[3] == DEFS else cards)[(parts[1], parts[2])] = text
    if not solutions or set(cards) != set(solutions):
        raise refused("the pack is not whole", expected=f"{DEFS} and {CARD} of each of its solutions")
    return Pack(manifest, solutions, cards, suites)


def _contents(file: Path) -> dict[str, bytes]:
    if not file.is_file():
        raise CellworksError("there is no such pack", found=str(file), mend="name the file")
    if file.stat().st_size > MAX_PACK_BYTES:
        raise refused("the pack is too large", expected=f"at most {MAX_PACK_BYTES:,} bytes", where=str(file))
    try:
        with zipfile.ZipFile(file) as pack:
            entries = pack.infolist()
            _refuse_names([each.filename for each in entries])
            read: dict[str, bytes] = {}
            for each in entries:
                # What the header says of the size is its sender's word: one byte more than allowed is enough to know.
                with pack.open(each) as stream:
                    read[each.filename] = stream.read(MAX_FILE_BYTES + 1)
                total = sum(len(content) for content in read.values())
                if len(read[each.filename]) > MAX_FILE_BYTES or total > MAX_PACK_BYTES:
                    raise refused("a file of the pack is too large", found=each.filename)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError, OSError) as error:
        # The library's ways to say: damaged, truncated, encrypted, a compression or version that it does not know.
        raise refused(
            "this is no solution pack", expected="a ZIP file", found=str(error)[:200], where=str(file)
        ) from error
    return read


def _refuse_names(names: list[str]) -> None:
    if len(names) > MAX_FILES + 1:
        raise refused("the pack holds too many files", expected=f"at most {MAX_FILES}", found=str(len(names)))
    for name in names:
        if name != MANIFEST and _FILE.fullmatch(name) is None:
            raise refused(
                "a file has no place in a solution pack",
                expected=f"solutions/<stage>/<slug>/{DEFS}, {CARD}, suites/<table>.yaml",
                found=repr(name[:100]),
            )
    if len(set(names)) != len(names):
        raise refused("a file is in the pack twice", found=next(name for name in names if names.count(name) > 1))


def _text(name: str, content: bytes) -> str:
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise refused("a file of the pack is no text", expected="UTF-8", found=str(error), where=name) from error
    if "\x00" in text:
        raise refused("a file of the pack is no text", expected="UTF-8", found="a NUL byte", where=name)
    return text


def safe_yaml(text: str, name: str) -> dict[str, Any]:
    """A YAML mapping from outside: no tags, no aliases (they can stand for any amount), bounded depth and size.

    Raises:
        CellworksError: it is none; with file and, where there is one, the line.
    """
    depth = nodes = 0
    try:
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            nodes += isinstance(event, yaml.NodeEvent)
            is_tagged = getattr(event, "tag", None) is not None
            if isinstance(event, yaml.AliasEvent) or is_tagged or depth > _MAX_YAML_DEPTH or nodes > _MAX_YAML_NODES:
                raise refused(
                    "YAML of the pack is refused",
                    expected=f"no alias, no tag, at most {_MAX_YAML_DEPTH} levels and {_MAX_YAML_NODES:,} values",
                    where=f"{name}, line {event.start_mark.line + 1}" if event.start_mark else name,
                )
        return parse_yaml(text, Path("pack"), name)
    except (yaml.YAMLError, PlanError, TypeError) as error:  # TypeError: a list or a mapping as a key
        raise refused("YAML of the pack can't be read", found=str(error)[:300], where=name) from error


def refuse_files(attributes: Any, where: str) -> None:
    """Refuse a solution over table files: they are data, and of one machine.

    Raises:
        CellworksError: a value names a file.
    """
    for text in _strings(attributes):
        if file_suffix(text.strip()) is not None:
            raise CellworksError(
                "a pack holds no data, and this solution reads a file",
                expected="tables of the lake, such as marts.machine_hour",
                found=text[:100],
                mend="deliver the rows as a feed of the site, or write the solution anew with `cellworks solution new`",
                where=where,
            )


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, each in value.items():
            yield from _strings(key)
            yield from _strings(each)
    elif isinstance(value, list):
        for each in value:
            yield from _strings(each)
