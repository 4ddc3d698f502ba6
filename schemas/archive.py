"""Completes and archives the schemas: run ``python -m schemas.archive`` after a change to an ``.avsc`` file.

Each event's file in ``schemas`` is complete in itself; the types that it shares with others are copied into it from
``schemas/shared``. Events stay readable by every schema that was ever committed, so each version is kept in
``schemas/history``.
"""

import json

from schemas import inlining, registry


def main() -> None:
    """Complete the file of each event, and write every schema that is not archived yet as ``<name>.<version>.avsc``."""
    shared = inlining.shared_types()
    for name in registry.EVENT_TYPES:
        path = registry.FOLDER / f"{name}.avsc"
        text = path.read_text("utf-8")
        complete = inlining.as_text(inlining.inlined(json.loads(text), shared))
        if complete != text:
            path.write_text(complete, "utf-8")
            print(path.name)
    for name, event_type in registry.EVENT_TYPES.items():
        newest = registry.newest(event_type)
        kept = [s for s in registry.kept() if s.event_type is event_type]
        if newest.fingerprint not in {schema.fingerprint for schema in kept}:
            path = registry.HISTORY / f"{name}.{len(kept) + 1}.avsc"
            path.write_text(json.dumps(registry.plain(newest), indent=1, ensure_ascii=False) + "\n", "utf-8")
            print(f"history/{path.name}")


if __name__ == "__main__":
    main()
