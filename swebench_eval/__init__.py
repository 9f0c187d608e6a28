"""Batch evaluation on SWE-bench: this is its place in the layers (7); a later version fills it."""
