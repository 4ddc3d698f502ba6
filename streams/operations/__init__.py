"""What ops do to a running system: erase, repair topics, fill tables, and examine everything.

Each can be called from Python; the command line parses and prints.
"""
