"""Joins the faces of a camera's frames to sightings: one person, from one time to another."""
