"""Archives the schemas of this release: run ``python -m schemas.archive`` after a change to an ``.avsc`` file.

Events stay readable by every schema that was ever committed, so each version is kept, complete, in ``schemas/history``.
"""

import json

from schemas import registry


def main() -> None:
    """Write every schema that has not been archived yet as ``<name>.<version>.avsc``."""
    for name, event_type in registry.EVENT_TYPES.items():
        newest = registry.newest(event_type)
        kept = [s for s in registry.kept() if s.event_type is event_type]
        if newest.fingerprint not in {schema.fingerprint for schema in kept}:
            path = registry.HISTORY / f"{name}.{len(kept) + 1}.avsc"
            path.write_text(json.dumps(registry.plain(newest), indent=1, ensure_ascii=False) + "\n", "utf-8")
            print(path.name)


if __name__ == "__main__":
    main()
