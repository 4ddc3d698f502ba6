"""What docs/wire-format.md says of the bytes; ``python -m tests.docs.test_wire_format`` writes its table anew.

tests/integration/test_other_languages.py runs its programs.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import fastavro.schema

from schemas import registry
from schemas.ingest import Frame, Upload
from tests.test_readme import between

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "wire-format.md"


def beginnings() -> str:
    rows = ["| event | schema | a message begins with |", "|---|---|---|"]
    for kind in (Upload, Frame):
        (file,) = (name for name, event_type in registry.EVENT_TYPES.items() if event_type is kind)
        header = registry.newest(kind).header.hex(" ").upper()
        rows.append(f"| `{kind.__name__}` | [{file}.avsc](../schemas/{file}.avsc) | `{header}` |")
    return "\n".join(rows)


def test_the_beginnings_are_those_of_today() -> None:
    assert between(PAGE.read_text("utf-8"), "beginnings") == beginnings(), "python -m tests.docs.test_wire_format"


def test_the_number_and_the_bytes_are_the_same_fingerprint() -> None:
    text = PAGE.read_text("utf-8")
    (number,) = re.findall(r"`0x([0-9a-f]{16})`", text)
    (written,) = re.findall(r"messages begin with\n`C3 01 ((?:[0-9A-F]{2} ?){8})`", text)
    assert bytes.fromhex(number)[::-1] == bytes.fromhex(written)
    canonical = fastavro.schema.to_parsing_canonical_form(json.loads((ROOT / "schemas/frame.avsc").read_text("utf-8")))
    assert fastavro.schema.fingerprint(canonical, "CRC-64-AVRO") == bytes.fromhex(written).hex()


def main() -> None:
    """Write the table anew."""
    head, _, rest = PAGE.read_text("utf-8").partition("<!-- beginnings -->\n")
    end = "<!-- /beginnings -->"
    PAGE.write_text(f"{head}<!-- beginnings -->\n{beginnings()}\n{end}{rest.partition(end)[2]}", "utf-8")


if __name__ == "__main__":
    main()
