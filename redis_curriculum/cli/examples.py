"""Examples of each command, which its ``--help`` ends with."""

from __future__ import annotations

from typing import Final

EXAMPLES: Final[dict[str, tuple[str, ...]]] = {
    "demo": ("redis-curriculum demo --seconds 60 --workers 2",),
    "serve": ("redis-curriculum serve ./curricula",),
    "list": ("redis-curriculum list --url redis://localhost:6379/0",),
    "status": ("redis-curriculum status mazes", "redis-curriculum --json status mazes"),
    "top": ("redis-curriculum top mazes",),
    "dashboard": (
        "redis-curriculum dashboard mazes",
        "redis-curriculum dashboard --address 0.0.0.0 --origin lab:5006",
    ),
    "tasks": (
        "redis-curriculum tasks mazes --label 'maze-*' --sort progress --limit 20",
        "redis-curriculum tasks mazes --json",
    ),
    "task": ("redis-curriculum task mazes 3347777972680862",),
    "labels": ("redis-curriculum labels mazes",),
    "workers": ("redis-curriculum workers mazes",),
    "history": (
        "redis-curriculum history mazes --labels 'maze-*'",
        "redis-curriculum history mazes --json --labels '*'",
    ),
    "epochs": ("redis-curriculum epochs mazes",),
    "events": (
        "redis-curriculum events mazes --count 50",
        "redis-curriculum events mazes --follow --json",
    ),
    "quarantine": ("redis-curriculum quarantine mazes",),
    "plot": (
        "redis-curriculum plot mazes --out mazes.png",
        "redis-curriculum plot mazes --out mazes.html --overwrite",
    ),
    "report": ("redis-curriculum report mazes --out mazes.html",),
    "metrics": (
        "redis-curriculum metrics mazes --port 9750",
        "redis-curriculum metrics --host 0.0.0.0",
    ),
    "set": ("redis-curriculum set mazes temperature=0.1 num_active_tasks=500",),
    "check": ("redis-curriculum check mazes --repair",),
    "snapshot": ("redis-curriculum snapshot mazes mazes.rcs --keep 3 --overwrite",),
    "restore": ("redis-curriculum restore mazes.rcs --name mazes --replace",),
    "backup": ("redis-curriculum backup mazes",),
    "gc": ("redis-curriculum gc --dry-run", "redis-curriculum gc mazes"),
    "delete": ("redis-curriculum delete mazes", "redis-curriculum delete mazes --yes"),
    "migrate": ("redis-curriculum migrate mazes",),
    "doctor": ("redis-curriculum doctor redis://localhost:6379/0",),
    "acl": ("redis-curriculum acl mazes", "redis-curriculum acl --load"),
}
