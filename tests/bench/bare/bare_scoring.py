"""The library's own predict: `bare_scoring.py TABLE.parquet MODEL FEATURES.json THREADS OUT.parquet [contributions]`.

Reads the table, builds one float32 matrix, predicts, writes the predictions, and prints rows and seconds by phase.
MODEL ends in .txt (LightGBM) or .ubj (XGBoost); categories are codes already.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

file, model, features, threads = sys.argv[1], sys.argv[2], json.loads(Path(sys.argv[3]).read_text()), int(sys.argv[4])
with_contributions = len(sys.argv) > 6
if model.endswith(".txt"):
    import lightgbm

    booster = lightgbm.Booster(model_file=model)
else:
    import xgboost

    booster = xgboost.Booster(model_file=model)
    booster.set_param({"nthread": threads})

begun = time.perf_counter()
table = pq.read_table(file, columns=features)
read = time.perf_counter()
x = np.column_stack([table.column(name).to_numpy().astype(np.float32) for name in features])
built = time.perf_counter()
if model.endswith(".txt"):
    out = booster.predict(x, num_threads=threads, pred_contrib=with_contributions)
elif with_contributions:
    kinds = booster.feature_types
    out = booster.predict(
        xgboost.DMatrix(x, feature_types=kinds, enable_categorical=True, nthread=threads),
        pred_contribs=True,
        validate_features=False,
    )
else:
    out = booster.inplace_predict(x, validate_features=False)
predicted = time.perf_counter()
columns = out.reshape(len(out), -1)
pq.write_table(pa.table({f"out_{place}": columns[:, place] for place in range(columns.shape[1])}), sys.argv[5])
ended = time.perf_counter()
phases = {"read": read - begun, "matrix": built - read, "predict": predicted - built, "write": ended - predicted}
print(json.dumps({"rows": len(out), "phases": phases, "seconds": ended - begun}))
