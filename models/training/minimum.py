"""The fewest people and faces of a training; the gate, the schedule and the command line all take them from here.

Imports nothing: settings need the numbers before any network is loaded.
"""

from __future__ import annotations

PEOPLE = 10
"""Fewest people to train on."""
CHIPS = 50
"""Fewest faces to train on."""
PEOPLE_MEASURED = 4
"""Fewest people that a version, or a group, is measured on; they are never trained on."""
PEOPLE_IN_ALL = PEOPLE + PEOPLE_MEASURED
"""With fewer people no version can pass the gate."""
