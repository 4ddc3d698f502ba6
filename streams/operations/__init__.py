"""Operations on a running system: erasing, repairing topics, filling tables, and diagnosis.

Each can be called from Python; the command line parses and prints.
"""
