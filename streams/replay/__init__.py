"""Sends the events of a topic through the pipeline again.

Imports ``kafka``, ``topology`` and ``observability``; the command line imports it.
"""
