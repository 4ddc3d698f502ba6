"""Scheduled training: when it is due, whether it is worth it, whose it is, and how it is done."""
