"""Downloads what is not a Python package: Kafka's jars and the sample photographs. Set-up runs it."""

from __future__ import annotations

import sys
from pathlib import Path

from infra.jars import JarUnavailable, kafka_classpath
from infra.photos import PhotosUnavailable, sample_photos


def main(listing: Path) -> int:
    """Download what is missing, and write the paths of the folders to the file ``listing``."""
    try:
        jars = Path(kafka_classpath(lambda line: print(f"    {line}", flush=True))).parent
        photos = sample_photos()
    except (JarUnavailable, PhotosUnavailable) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    listing.write_text(f"{jars}\n{photos}\n", "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
