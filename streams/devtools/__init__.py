"""Tools for developers: the local stack, the demo, the reconciliation of events, and benchmarks.

Not for production: only the command line imports it. It may start services of ``infra``.
"""
