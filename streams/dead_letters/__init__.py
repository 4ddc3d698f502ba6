"""Messages that cannot be processed: their records, and how they are found and redriven.

Imports ``kafka``, ``privacy`` and ``observability``; the engine and the roles write dead letters.
"""
