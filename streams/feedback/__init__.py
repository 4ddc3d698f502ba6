"""Feedback of people about matches: checked against the match, and stored.

Imports ``kafka`` and ``privacy``; training data and the command line import it.
"""
