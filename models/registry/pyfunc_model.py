"""The model's entry for MLflow ("models from code"): loads the bundle with the runtime that lies inside it.

This file is copied into each logged model and executed by MLflow when the model is loaded; it needs nothing of
this project to be installed. Input: a frame with the contract's columns; output: the predictor's columns.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel


class CellworksModel(PythonModel):  # type: ignore[misc] # the library has no types here
    """Native boosters behind MLflow's interface."""

    def load_context(self, context: Any) -> None:
        """Load the bundle and its own copy of the runtime."""
        folder = Path(context.artifacts["bundle"])
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
