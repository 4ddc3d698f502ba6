"""Reports on a worker: metrics, health, heartbeats, lag, and the watchdog that ends a worker that hangs.

Imports ``kafka`` and ``topology``; the engine and the roles report to it.
"""
