"""Metrics, intervals, baselines, calibration, conformal bounds, costs, slices, plots."""
