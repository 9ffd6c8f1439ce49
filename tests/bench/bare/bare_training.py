"""The same fits as a skilled user would write them in loops: `bare_training.py TABLE.parquet WORK.json` prints seconds.

WORK.json: {"target", "features", "threads", "development": rows, "folds": [[until, until_valid], ...] in row order,
"trials": [{"library", "params", "fold_rounds"}], "final": {"library", "params", "rounds"}}; parameters as fitted.
"""

import json
import sys
import time
from pathlib import Path

import lightgbm as lgb
import numpy as np
import pyarrow.parquet as pq
import xgboost as xgb

work = json.loads(Path(sys.argv[2]).read_text())
threads, seed = work["threads"], work["seed"]
LGB = {"objective": "binary", "metric": "binary_logloss", "num_threads": threads, "seed": seed, "deterministic": True}
LGB |= {"bagging_freq": 1, "feature_pre_filter": False, "max_bin": 127, "verbosity": -1, "force_row_wise": True}
XGB = {"objective": "binary:logistic", "eval_metric": "logloss", "tree_method": "hist", "max_bin": 128}
XGB |= {"nthread": threads, "seed": seed, "verbosity": 0}

begun = time.perf_counter()
table = pq.read_table(sys.argv[1], columns=[*work["features"], work["target"]])
x = np.column_stack([table.column(name).to_numpy().astype(np.float32) for name in work["features"]])
y = table.column(work["target"]).to_numpy().astype(np.float32)
sets = []
for until, until_valid in work["folds"]:
    a, b = slice(0, until), slice(until, until_valid)
    train = lgb.Dataset(x[a], y[a], params=LGB, free_raw_data=False)
    quantised = xgb.QuantileDMatrix(x[a], y[a], max_bin=128, nthread=threads)
    valid = xgb.QuantileDMatrix(x[b], y[b], ref=quantised, max_bin=128, nthread=threads)
    sets.append((train, lgb.Dataset(x[b], y[b], reference=train, params=LGB), quantised, valid))
for trial in work["trials"]:
    for (train, held_out, quantised, valid), rounds in zip(sets, trial["fold_rounds"], strict=False):
        if trial["library"] == "lightgbm":
            lgb.train(
                LGB | trial["params"], train, rounds, valid_sets=[held_out], callbacks=[lgb.record_evaluation({})]
            )
        else:
            xgb.train(XGB | trial["params"], quantised, rounds, evals=[(valid, "valid")], verbose_eval=False)
final, rows = work["final"], work["development"]
if final["library"] == "lightgbm":
    lgb.train(LGB | final["params"], lgb.Dataset(x[:rows], y[:rows], params=LGB), final["rounds"])
else:
    xgb.train(
        XGB | final["params"], xgb.QuantileDMatrix(x[:rows], y[:rows], max_bin=128, nthread=threads), final["rounds"]
    )
print(json.dumps({"seconds": time.perf_counter() - begun}))
