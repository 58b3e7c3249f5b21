"""Experiments with forecasts: settings, split along time, baselines, errors."""
