"""What doctor asks of the Docker engine."""

from __future__ import annotations

from agentmem.errors import SandboxError
from agentmem.sandbox import images, reaper
from agentmem.sandbox.base import Check
from agentmem.sandbox.container import enforced
from agentmem.sandbox.engine import connect
from agentmem.sandbox.limits import Limits


def check() -> list[Check]:
    """Engine, base image, network, and each limit as the engine holds it. Makes nothing but a probe."""
    try:
        version = connect().version()
    except SandboxError as error:
        return [Check("docker engine", False, error.what, error.mend)]
    found = [Check("docker engine", True, f"{version.get('Version')} (API {version.get('ApiVersion')})", "")]
    here = [tag for python in images.SUITES if images.present(tag := images.base_tag(python))]
    if here:
        found.append(Check("base image", True, ", ".join(here), ""))
    else:
        found.append(
            Check("base image", False, "none here; the first run pulls or makes one", images.THREE_WAYS)
        )
    networks = {str(item["Name"]) for item in connect().networks()}
    ways = [name for name in ("bridge", "host", "none") if name in networks]
    found.append(
        Check("network modes", "none" in ways, ", ".join(ways), "" if "none" in ways else "Use Docker.")
    )
    image = images.present(here[0]) if here else None
    for name, how in enforced(Limits(), image).items():
        held = not how.startswith("not enforced")
        mend = "" if held else "Start the machine with the memory and swap cgroups enabled."
        found.append(Check(f"limit: {name}", held, how, mend))
    dead = reaper.leftovers()
    found.append(
        Check("leftovers", not dead, f"{len(dead)} containers of dead runs", "agentmem clean" if dead else "")
    )
    return found
