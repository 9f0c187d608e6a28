"""agentmem repairs bugs in real repositories, with evidence, and gets better with every bug it repairs."""

__version__ = "0.1.0"
