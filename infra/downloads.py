"""Downloads Kafka's jars and the sample photographs, and prepares Kafka's start. Set-up runs it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from infra import kafka
from infra.jars import JarUnavailable, kafka_classpath
from infra.photos import PhotosUnavailable, sample_photos
from infra.supervisor import ChildFailed


def main(listing: Path) -> int:
    """Download what is missing, and write the paths of the folders to the file ``listing``."""

    def report(line: str) -> None:
        print(f"    {line}", flush=True)

    try:
        jars = Path(kafka_classpath(report)).parent
        photos = sample_photos()
    except (JarUnavailable, PhotosUnavailable) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    try:
        kafka.prepare(report)
    except (OSError, subprocess.SubprocessError, ChildFailed) as error:
        report(f"Kafka will take longer to start, since its classes could not be prepared: {error}")
    listing.write_text(f"{jars}\n{photos}\n", "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
