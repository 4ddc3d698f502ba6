"""The local stack, the demo's scenes, the accounting of events, and benchmarks.

Not for production: only the command line imports it. It may start services of ``infra``.
"""
