"""What a run would do, without doing it: `agentmem fix --dry-run`."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from agentmem.repair.request import Request


def plan_of(request: Request) -> dict[str, Any]:
    """The choices and limits of a run, and the places it would look at first. Starts no container."""
    from agentmem.checkout import Checkout
    from agentmem.code.index import CodeIndex
    from agentmem.code.locate import locate
    from agentmem.context.places import describe
    from agentmem.sandbox.environment import detect

    settings = request.settings
    with tempfile.TemporaryDirectory(prefix="agentmem-") as scratch:
        checkout = Checkout.create(request.repo, Path(scratch), request.commit)
        index = CodeIndex.build(checkout.blobs(), checkout.read_many)
        places = describe(locate(index, request.issue.text, limit=10)).splitlines()
        environment = detect(
            checkout.paths(),
            checkout.read,
            image=settings.image,
            setup_command=settings.setup_command,
            test_command=settings.test_command,
        )
        return {
            "repository": checkout.name,
            "commit": request.commit,
            "issue": request.issue.title,
            "model": settings.model or "none configured",
            "sandbox": settings.sandbox,
            "set-up": list(environment.setup),
            "tests": environment.test_command,
            "why": [f"{choice}: {why}" for choice, why in environment.reasons],
            "limits": [
                f"{settings.max_steps} steps",
                f"{settings.max_tokens:,} tokens",
                f"${settings.max_cost:g}",
                f"{settings.timeout:g} s",
            ],
            "places": places,
            "left out": checkout.dirty_paths() if checkout.dirty else [],
        }
