"""Erasing users and subjects: who has been erased, and how it is asked for."""
