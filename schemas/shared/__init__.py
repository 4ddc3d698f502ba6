"""The types that several events share, one file each. Each is declared here, and only here.

``python -m schemas.archive`` copies them into the events' files in ``schemas``, so that those are complete in
themselves. Only ``schemas.archive`` reads this folder, and no distribution for applications has it.
"""
