"""The role search: merges what the shards find in searches over all users into one answer each.

Only the worker, the command line and the benchmarks import it.
"""
