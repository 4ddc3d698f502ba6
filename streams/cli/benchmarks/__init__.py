"""Measurements: each figure beside a baseline taken in the same run, since machines are shared and noisy."""
