"""What people say about answers: checked against the answer, and kept.

Imports ``kafka`` and ``privacy``; training data and the command line import it.
"""
