"""The model's entry for MLflow ("models from code"): loads the bundle with the runtime that lies inside it.

This file is copied into each logged model and executed by MLflow when the model is loaded; it needs nothing of
this project to be installed. Input: a frame with the contract's columns; output: the predictor's columns.

A damaged file is told before a library reads it. Who can change the model's folder can change this file and the list as
well: the registry's own list, which the platform compares, is kept elsewhere.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel


def refuse_damaged(folder: Path) -> None:
    """Compare a bundle with its own list of files.

    Raises:
        ValueError: a file is missing or another one; libraries in C may end the process on it.
    """
    for name, (size, sha256) in json.loads((folder / "files.json").read_text(encoding="utf-8")).items():
        content = (folder / name).read_bytes() if (folder / name).is_file() else b""
        if (found := hashlib.sha256(content).hexdigest()) != sha256:
            raise ValueError(
                f"{folder / name} is damaged: expected {size} bytes with SHA-256 {sha256}, found {len(content)} with "
                f"{found}; fetch the model again, or load another version"
            )


class CellworksModel(PythonModel):  # type: ignore[misc] # the library has no types here
    """Native boosters behind MLflow's interface."""

    def load_context(self, context: Any) -> None:
        """Load the bundle and its own copy of the runtime."""
        folder = Path(context.artifacts["bundle"])
        refuse_damaged(folder)
        # A package of its own for each bundle: the runtime imports what lies beside it, and not another version's.
        name = f"cellworks_model_runtime_{len(sys.modules)}"
        spec = importlib.util.spec_from_file_location(
            name, folder / "runtime.py", submodule_search_locations=[str(folder)]
        )
        if spec is None or spec.loader is None:
            raise ImportError(f"no runtime in {folder}")
        runtime = importlib.util.module_from_spec(spec)
        sys.modules[name] = runtime
        spec.loader.exec_module(runtime)
        self.scorer = runtime.Scorer.load(folder)

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:  # noqa: ARG002
        """Predict a frame; see `runtime.Scorer.predict`."""
        return pd.DataFrame(self.scorer.predict(pa.Table.from_pandas(model_input, preserve_index=False)))


set_model(CellworksModel())
