"""How long the command line takes to start, against its peers and a bare typer program, in one paired run.

    python benchmarks/startup.py --venvs DIR [--runs 20] [--machine TEXT] [--write]

The peers are installed into virtual environments of their own below DIR, once. Every round runs each program
once, in an order that is shuffled anew, so that a slow moment of the machine meets all of them.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

PEERS = {"mini": "mini-swe-agent==2.4.6", "aider": "aider-chat==0.86.2"}
BARE = '''
import typer

app = typer.Typer()


@app.command()
def one(number: int = 1) -> None:
    """One command."""


@app.command()
def two(number: int = 1) -> None:
    """Another command."""


app()
'''
README = Path(__file__).parent / "README.md"
BEGIN, END = "<!-- startup: begin -->", "<!-- startup: end -->"
LARGEST_MB, MOST_OF_BARE = 45, 1.5


@dataclass
class Program:
    """One command line and what was measured: wall and processor seconds, and peak memory in MB."""

    name: str
    argv: list[str]
    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    memory: float = 0.0

    @property
    def median(self) -> float:
        return statistics.median(self.wall)

    def run(self) -> tuple[float, float, float]:
        start = time.perf_counter()
        # PYTHONDONTWRITEBYTECODE and the like would change what is measured.
        env = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
        process = subprocess.Popen(
            self.argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=env
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            raise SystemExit(f"{self.name} ended with {process.returncode}")
        return wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024

    def measure(self) -> None:
        wall, cpu, memory = self.run()
        self.wall.append(wall)
        self.cpu.append(cpu)
        self.memory = max(self.memory, memory)


def peer(venvs: Path, name: str) -> str:
    """The peer's program, installed when it is not there."""
    program = venvs / name / "bin" / name
    if not program.exists():
        print(f"installing {PEERS[name]}", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", str(venvs / name)], check=True)
        pip = [str(venvs / name / "bin" / "python"), "-m", "pip", "install", "--quiet", PEERS[name]]
        subprocess.run(pip, check=True)
    return str(program)


def measure(venvs: Path, runs: int) -> list[Program]:
    with tempfile.TemporaryDirectory() as scratch:
        bare = Path(scratch) / "bare.py"
        bare.write_text(BARE)
        agentmem = str(Path(sys.executable).parent / "agentmem")
        programs = [
            Program("agentmem --help", [agentmem, "--help"]),
            Program("agentmem --version", [agentmem, "--version"]),
            Program("bare typer --help", [sys.executable, str(bare), "--help"]),
            Program("mini --help", [peer(venvs, "mini"), "--help"]),
            Program("aider --version", [peer(venvs, "aider"), "--version"]),
        ]
        for program in programs:  # bytecode, page cache
            program.run()
            program.run()
        order = random.Random(0)
        for _ in range(runs):
            for program in order.sample(programs, len(programs)):
                program.measure()
    return programs


def report(programs: list[Program], runs: int, machine: str) -> tuple[str, list[str]]:
    """The section of the README, and the budgets that were missed."""
    by_name = {program.name: program for program in programs}
    bare, mini = by_name["bare typer --help"], by_name["mini --help"]
    lines = [
        f"`benchmarks/startup.py`: {runs} interleaved rounds after two warm-up runs each; {machine}.",
        f"Peers: {', '.join(PEERS.values())}.",
        "",
        "| Program | Wall, median (min-max), ms | Processor, ms | Peak memory, MB | Wall / bare typer |",
        "|---|---|---|---|---|",
    ]
    for program in programs:
        low, high = min(program.wall), max(program.wall)
        lines.append(
            f"| `{program.name}` | {program.median * 1000:.0f} ({low * 1000:.0f}-{high * 1000:.0f}) "
            f"| {statistics.median(program.cpu) * 1000:.0f} | {program.memory:.0f} "
            f"| {program.median / bare.median:.2f} |"
        )
    missed = []
    lines.append("")
    for program in programs[:2]:
        pairs = [mine / other for mine, other in zip(program.wall, mini.wall, strict=True)]
        slower = sum(ratio > 1 for ratio in pairs)
        lines.append(
            f"`{program.name}` against `mini --help`, round by round: median ratio "
            f"{statistics.median(pairs):.2f} ({min(pairs):.2f}-{max(pairs):.2f}), slower {slower} times."
        )
        if program.median > mini.median:
            missed.append(f"{program.name} is slower than mini --help")
        if program.median > MOST_OF_BARE * bare.median:
            missed.append(f"{program.name} takes more than {MOST_OF_BARE} times a bare typer program")
        if program.memory > LARGEST_MB:
            missed.append(f"{program.name} takes more than {LARGEST_MB} MB")
    lines += ["", f"Budgets: {'; '.join(missed) if missed else 'all kept'}."]
    return "\n".join(lines), missed


def write(section: str) -> None:
    """Put the section into the README, in place of the old one."""
    block = f"{BEGIN}\n## Start-up\n\n{section}\n{END}\n"
    text = README.read_text() if README.exists() else "# Benchmarks\n"
    if BEGIN in text:
        before, _, rest = text.partition(BEGIN)
        text = before + block + rest.partition(f"{END}\n")[2]
    else:
        text = f"{text.rstrip()}\n\n{block}"
    README.write_text(text)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--venvs", type=Path, required=True, help="where the peers are installed")
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--machine", default="machine not described")
    parser.add_argument("--write", action="store_true", help="put the result into benchmarks/README.md")
    options = parser.parse_args()
    section, missed = report(measure(options.venvs, options.runs), options.runs, options.machine)
    print(section)
    if options.write:
        write(section)
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
