"""Measures how good a model is: scores, comparisons, intervals, groups of people, and calibration.

Imports ``analysis``.
"""
