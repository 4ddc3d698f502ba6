"""Detects drift: changes in what a camera shows, or in what the model makes of it."""
