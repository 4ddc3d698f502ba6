"""Keep the schemas of this release for good: ``python -m schemas.archive`` after a change to an ``.avsc`` file.

A schema that was ever committed stays readable, so each version lives on, whole, in ``schemas/history``.
"""

import json

from schemas import registry


def main() -> None:
    """Write every schema that is not kept yet as ``<name>.<version>.avsc``."""
    for name, event_type in registry.EVENT_TYPES.items():
        newest = registry.newest(event_type)
        kept = [s for s in registry.kept() if s.event_type is event_type]
        if newest.fingerprint not in {schema.fingerprint for schema in kept}:
            path = registry.HISTORY / f"{name}.{len(kept) + 1}.avsc"
            path.write_text(json.dumps(registry.plain(newest), indent=1, ensure_ascii=False) + "\n", "utf-8")
            print(path.name)


if __name__ == "__main__":
    main()
