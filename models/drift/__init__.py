"""Detects drift: changes in the pictures of a camera, or in a model's vectors of them."""
