"""XGBoost, LightGBM and a linear model behind one small protocol."""
