"""Messages that cannot be processed: their records, how they are found, and how they are sent back.

Imports ``kafka``, ``privacy`` and ``observability``; the engine and the roles write dead letters.
"""
