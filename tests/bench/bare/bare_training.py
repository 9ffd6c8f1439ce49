"""The same fits in loops: `bare_training.py TABLE.parquet WORK.json` prints seconds.

TABLE: features, target, a column per fold (1: learnt from, 2: validated on). WORK: trials with parameters and rounds.
"""

import json
import sys
import time
from functools import cache
from pathlib import Path

import lightgbm as lgb
import numpy as np
import pyarrow.parquet as pq
import xgboost as xgb
from sklearn import impute, linear_model, pipeline, preprocessing

work = json.loads(Path(sys.argv[2]).read_text())
task, bins, width = work["task"], work["max_bin"], len(work["features"])
threads, seed = work["threads"], work["seed"]
# Each library's own metric of an objective is what ours watches as well: log loss, or the square error.
LGB = {"objective": task, "deterministic": True, "seed": seed, "num_threads": threads, "verbosity": -1}
LGB |= {"bagging_freq": 1, "feature_pre_filter": False, "max_bin": bins, **work["classes"]}
LGB["force_col_wise" if width >= 100 else "force_row_wise"] = True
OBJECTIVES = {"binary": "binary:logistic", "regression": "reg:squarederror", "multiclass": "multi:softprob"}
XGB = {"objective": OBJECTIVES[task], "tree_method": "hist", "max_bin": bins + 1, "nthread": threads}
XGB |= {"seed": seed, "verbosity": 0, **work["classes"]}
kinds = ["c" if place in work["categories"] else "q" for place in range(width)]
OF_LGB = {"params": LGB, "categorical_feature": work["categories"], "free_raw_data": False}
OF_XGB = {"feature_types": kinds, "enable_categorical": True, "nthread": threads}
begun, table = time.perf_counter(), pq.read_table(sys.argv[1])
x = np.column_stack([table.column(name).to_numpy().astype(np.float32) for name in work["features"]])
y = table.column(work["target"]).to_numpy()


@cache
def data(library, fold):  # a fold's rows in the library's own form, made once
    part = table.column(fold).to_numpy()
    (a, b), (p, q) = (x[part == 1], y[part == 1]), (x[part == 2], y[part == 2])
    if library == "linear":
        return a, b
    if library == "lightgbm":
        return (train := lgb.Dataset(a, b, **OF_LGB)), train.create_valid(p, q) if len(q) else None
    train = xgb.QuantileDMatrix(a, b, max_bin=bins + 1, **OF_XGB)
    return train, [(xgb.DMatrix(p, q, **OF_XGB), "valid")] if len(q) else []  # on binned data it takes longer


for trial in work["trials"]:
    for fold, rounds in trial["rounds"].items():
        train, valid = data(trial["library"], fold)
        if trial["library"] == "lightgbm":
            kept = {"valid_sets": [valid], "callbacks": [lgb.record_evaluation({})]} if valid else {}
            lgb.train(LGB | trial["params"], train, rounds, **kept)
        elif trial["library"] == "xgboost":
            xgb.train(XGB | trial["params"], train, rounds, evals=valid, verbose_eval=False)
        else:
            last = (linear_model.Ridge if task == "regression" else linear_model.LogisticRegression)(**trial["params"])
            steps = impute.SimpleImputer(keep_empty_features=True), preprocessing.StandardScaler(), last
            pipeline.make_pipeline(*steps).fit(train, valid)
print(json.dumps({"seconds": time.perf_counter() - begun}))
