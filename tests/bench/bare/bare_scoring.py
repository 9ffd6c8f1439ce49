"""The library's own predict: `bare_scoring.py TABLE.parquet MODEL FEATURES.json THREADS [contributions]`, in seconds.


Reads the table, builds one float32 matrix and predicts; MODEL ends in .txt (LightGBM) or .ubj (XGBoost).
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

file, model, features, threads = sys.argv[1], sys.argv[2], json.loads(Path(sys.argv[3]).read_text()), int(sys.argv[4])
with_contributions = len(sys.argv) > 5
if model.endswith(".txt"):
    import lightgbm

    booster = lightgbm.Booster(model_file=model)
else:
    import xgboost

    booster = xgboost.Booster(model_file=model)
    booster.set_param({"nthread": threads})

begun = time.perf_counter()
table = pq.read_table(file, columns=features)
x = np.column_stack([table.column(name).to_numpy().astype(np.float32) for name in features])
read = time.perf_counter()
if model.endswith(".txt"):
    out = booster.predict(x, num_threads=threads, pred_contrib=with_contributions)
elif with_contributions:
    out = booster.predict(xgboost.DMatrix(x, nthread=threads), pred_contribs=True)
else:
    out = booster.inplace_predict(x)
ended = time.perf_counter()
print(json.dumps({"rows": len(out), "read": read - begun, "predict": ended - read, "seconds": ended - begun}))
