"""Sending what a topic holds through the pipeline once more.

Imports ``kafka``, ``topology`` and ``observability``; the command line imports it.
"""
