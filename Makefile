# Each target does all its set-up, on a fresh machine too; a second call is quick.
.DEFAULT_GOAL := help
.PHONY: help setup demo test lint docs clean

PYTHON_FILES = agentmem swebench_eval tests benchmarks scripts

help: ## List the targets.
	@grep -E '^[a-z]+:.*## ' Makefile | sed -E 's/:[^#]*## /\t/' | expand -t 10

setup: ## Virtual environment, dependencies, Docker engine and base image, as far as this user may.
	@scripts/setup.sh

demo: setup ## Repair a real bug of a bundled repository.
	@.venv/bin/agentmem demo

test: setup ## Run all tests.
	.venv/bin/pytest -n 2 $(PYTEST_ARGS)

lint: setup ## Style, format, types.
	.venv/bin/ruff check $(PYTHON_FILES)
	.venv/bin/ruff format --check $(PYTHON_FILES)
	.venv/bin/mypy --strict $(PYTHON_FILES)

docs: setup ## Write docs/commands.md and docs/settings.md from the program.
	.venv/bin/python scripts/docs.py

clean: ## Remove what the targets made here, and left-over containers.
	@if [ -x .venv/bin/agentmem ]; then .venv/bin/agentmem clean || true; fi
	rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
