"""The producer that applications use, and what it tells of each event.

Imports ``kafka``, settings and schemas only: nothing heavy comes with it.
"""
