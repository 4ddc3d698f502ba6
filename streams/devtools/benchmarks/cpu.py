"""What the workers of a stack have cost."""

from __future__ import annotations

import psutil

from streams.devtools.local_stack import Stack
from streams.roles import Role


def cpu_s(stack: Stack, role: Role) -> float:
    """Processor time that the workers of a role have used."""
    running = stack.services.supervisor.running()
    leaders = [psutil.Process(pid) for name, pid in running.items() if name.startswith(f"{role}-")]
    every = [one for leader in leaders for one in (leader, *leader.children(recursive=True))]
    return sum(sum(one.cpu_times()[:2]) for one in every)
