"""What the doctor says of a service that does not answer."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import urlsplit

from streams.homes import away
from streams.operations.doctor.finding import Finding
from streams.operations.doctor.remedies import Remedy
from streams.settings import Settings


def explained(finding: Finding, settings: Settings, service: str, address: str | None) -> Finding:
    """The finding that a service does not answer, with a better remedy if one is known.

    Args:
        finding: what would be said otherwise.
        settings: of what is looked at.
        service: its name, ``kafka``, ``redis`` or ``bigquery``.
        address: where it does not answer, as the setting says; None: at Google.
    """
    at = urlsplit(address if "//" in address else f"//{address}").netloc.rpartition("@")[2] if address else ""
    if (back := away.coming(settings.home, service, at)) is not None:
        where = f"no answer at {at}: " if at else ""
        return replace(finding, observed=f"{where}{back.what}", remedy=Remedy.RESTARTING(log=back.log))
    if others := away.elsewhere(settings.home, service):
        return replace(finding, remedy=Remedy.ELSEWHERE(how=away.how_to_reach(others)))
    return finding
