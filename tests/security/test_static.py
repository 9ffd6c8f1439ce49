"""No code from data in our packages, by their syntax trees."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]
FORBIDDEN_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__"}
SAFE_LOADERS = {"_StrictLoader", "_LineLoader", "SafeLoader", "CSafeLoader", "_SafeLoader"}


def offences(source: str) -> list[tuple[int, str]]:
    """Line and kind of each way in which a source could run data as code."""
    found = []
    for node in ast.walk(ast.parse(source)):
        line = getattr(node, "lineno", 0)
        if isinstance(node, ast.Import):
            found += [(line, each.name) for each in node.names if each.name.split(".")[0] in FORBIDDEN_MODULES]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in FORBIDDEN_MODULES:
            found.append((line, str(node.module)))
        elif isinstance(node, ast.Call):
            found += [(line, what) for what in _calls(node)]
    return found


def _calls(node: ast.Call) -> list[str]:
    called = ast.unparse(node.func)
    found = [called] if called in FORBIDDEN_CALLS | {"os.system", "os.popen"} else []
    words = {each.arg: each.value for each in node.keywords}
    if "shell" in words and ast.unparse(words["shell"]) != "False":
        found.append(f"{called}(shell=...)")
    if "allow_pickle" in words and ast.unparse(words["allow_pickle"]) != "False":
        found.append(f"{called}(allow_pickle=...)")
    if called in {"yaml.load", "yaml.load_all"}:
        loader = words.get("Loader") or (node.args[1] if len(node.args) > 1 else None)
        if loader is None or ast.unparse(loader).split(".")[-1] not in SAFE_LOADERS:
            found.append(f"{called} without a safe loader")
    elif called in {"yaml.unsafe_load", "yaml.full_load"}:
        found.append(called)
    return found


def test_the_look_finds_what_it_is_for() -> None:
    bad = "import pickle\neval('1')\nimport yaml\nyaml.load(x)\nrun(c, shell=True)\nnp.load(f, allow_pickle=True)\n"
    assert [line for line, _ in sorted(offences(bad))] == [1, 2, 4, 5, 6]
    assert not offences("yaml.load(x, Loader=yaml.SafeLoader)\nrun(c, shell=False)\nre.compile('a')\n")


def test_no_code_comes_from_data() -> None:
    found = [
        f"{file.relative_to(ROOT)}:{line}: {what}"
        for package in ("pipelines", "models", "expectations", "orchestration")
        for file in sorted((ROOT / package).rglob("*.py"))
        for line, what in offences(file.read_text(encoding="utf-8"))
    ]
    assert not found, "\n".join(found)
