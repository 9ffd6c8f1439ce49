"""The same fits in loops: `bare_training.py TABLE.parquet WORK.json` prints seconds.

TABLE: features, target, and a column per fold (1: learnt from, 2: validated on). WORK: each trial's library, parameters
as fitted and rounds by fold; the last trial is the final fit of all rows.
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
bins = work["max_bin"]
binary, width, threads, seed = work["task"] == "binary", len(work["features"]), work["threads"], work["seed"]
LGB = {"objective": work["task"], "metric": "binary_logloss" if binary else "rmse", "deterministic": True, "seed": seed}
LGB |= {"bagging_freq": 1, "feature_pre_filter": False, "max_bin": bins, "verbosity": -1, "num_threads": threads}
LGB["force_col_wise" if width >= 100 else "force_row_wise"] = True
XGB = {"objective": "binary:logistic" if binary else "reg:squarederror", "tree_method": "hist", "max_bin": bins + 1}
XGB |= {"eval_metric": "logloss" if binary else "rmse", "nthread": threads, "seed": seed, "verbosity": 0}
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
    return train, xgb.DMatrix(p, q, **OF_XGB) if len(q) else None  # validating on binned data takes longer


for trial in work["trials"]:
    for fold, rounds in trial["rounds"].items():
        train, valid = data(trial["library"], fold)
        if trial["library"] == "lightgbm":
            watch = [lgb.record_evaluation({})] if valid else []
            lgb.train(LGB | trial["params"], train, rounds, [valid] if valid else None, callbacks=watch)
        elif trial["library"] == "xgboost":
            evals = [(valid, "valid")] if valid else []
            xgb.train(XGB | trial["params"], train, rounds, evals=evals, verbose_eval=False)
        else:
            last = (linear_model.LogisticRegression if binary else linear_model.Ridge)(**trial["params"])
            steps = impute.SimpleImputer(keep_empty_features=True), preprocessing.StandardScaler(), last
            pipeline.make_pipeline(*steps).fit(train, valid)
print(json.dumps({"seconds": time.perf_counter() - begun}))
