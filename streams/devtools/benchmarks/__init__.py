"""Benchmarks, each with a baseline in the same run.

The command ``facestream bench`` runs them.
"""
