"""Stage `validate`: what a patch does, seen in fresh sandboxes only. Nothing here asks a model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from agentmem.changes import Changes
from agentmem.diff import PatchInfo, check_patch
from agentmem.errors import PatchRefused
from agentmem.repair.bench import Bench
from agentmem.repair.coverage import covers_change, executed_lines, start_measuring, touched_lines
from agentmem.repair.outcome import Evidence, Reproducer, Tests, Validation
from agentmem.repair.reproduce import run_reproducer
from agentmem.repair.tests import TestRun, is_pytest, run_tests
from agentmem.sandbox.base import Completed
from agentmem.text import clip

PASSES = 2  # the reproducer must pass this often, each time in a fresh sandbox
REPEATS = 2  # a new failure is run this often more, on both trees
_AS_IN_BASE = "existing tests are run as the base commit has them, without the patch's changes to them"
TEST_FILES = 20  # the nearest test files that are run


@dataclass
class Validator:
    """Judges patches against one base commit; remembers what the tests did before any patch."""

    bench: Bench
    reproducer: Reproducer | None
    _before: dict[tuple[str, ...], TestRun] = field(default_factory=dict)

    def validate(self, diff: str) -> Validation:
        """Apply checked diff text to a fresh sandbox and see. Raises SandboxError."""
        if not diff.strip():
            return Validation(
                "empty", Evidence.E0, ("no file of the repository was changed",), feedback_title=""
            )
        try:
            info = check_patch(diff, allow=frozenset())
            if self.reproducer and self.reproducer.path in info.files:
                raise PatchRefused(f"the patch touches the reproducer {self.reproducer.path}")
            changes = self.bench.checkout.apply(diff)
        except PatchRefused as refusal:
            return Validation("refused", Evidence.E0, (refusal.what,))
        passes, covered, done = self._reproduce(changes, info)
        if passes is False and done is not None:
            return Validation(
                "reproducer_fails",
                Evidence.E0,
                ("the reproducer still fails",),
                reproducer_passes=False,
                feedback_title=f"What `{self.reproducer.command if self.reproducer else ''}` printed:",
                feedback_output=clip(done.output, 4_000),
            )
        if passes and self._passes_without_patch():
            why = "the reproducer passes without the patch now, too: it depends on something else"
            return Validation("unproven", Evidence.E0, (why,), reproducer_passes=True, covered=covered)
        tests, run = self._tests(changes, info)
        return _weigh(passes, covered, tests, run, edited=not info.files.keys().isdisjoint(tests.files))

    def _reproduce(
        self, changes: Changes, info: PatchInfo
    ) -> tuple[bool | None, bool | None, Completed | None]:
        """Whether the reproducer passes each time, whether it ran a changed line, and its last run."""
        if self.reproducer is None:
            return None, None, None
        covered: bool | None = None
        done: Completed | None = None
        for attempt in range(PASSES):
            sandbox = self.bench.start(changes)
            try:
                prefix = start_measuring(sandbox) if attempt == 0 else ""
                done = run_reproducer(
                    sandbox, self.reproducer, self.bench.settings.command_timeout, prefix=prefix
                )
                if done.exit_code != 0:
                    return False, None, done
                if prefix:
                    covered = _covered(executed_lines(sandbox, info.files), changes, info)
            finally:
                sandbox.close()
        return True, covered, done

    def _passes_without_patch(self) -> bool:
        """Whether the base commit passes by now: what time, chance or a place outside did is no repair."""
        assert self.reproducer is not None
        sandbox = self.bench.start()
        try:
            return (
                run_reproducer(sandbox, self.reproducer, self.bench.settings.command_timeout).exit_code == 0
            )
        finally:
            sandbox.close()

    def _tests(self, changes: Changes, info: PatchInfo) -> tuple[Tests, TestRun | None]:
        """Run the relevant existing tests before and after; new failures are run again on both trees.

        They run as the base commit has them, whatever the patch makes of them: else it could weaken a test
        and count it as passed.
        """
        command, files = self.bench.test_command, self._relevant(info)
        if is_pytest(command) and not files:
            return Tests(command, note="no existing test is relevant to the change"), None
        before = self._before.get(files)
        if before is None:
            before = self._before[files] = self._run(None, files)
        if not before.named("passed"):
            why = "timed out" if before.timed_out else "passes"
            note = "the relevant tests timed out before the patch" if before.timed_out else ""
            note = note or f"no relevant test {why} before the patch"
            return Tests(command, files, 0, before.count("failed"), note=note), before
        changes = _but(changes, files)
        after = self._run(changes, files)
        if after.timed_out and self.bench.budget.seconds_left() <= 0:
            note = "the run's time was over before the relevant tests had finished"
            return Tests(command, files, before.count("passed"), before.count("failed"), note=note), after
        suspects = before.named("passed") - after.named("passed")
        confirmed, flaky = self._confirm(changes, files, suspects) if suspects else (set(), set())
        tests = Tests(
            command=command,
            files=files,
            passed_before=before.count("passed"),
            failed_before=before.count("failed"),
            passed_after=after.count("passed"),
            failed_after=after.count("failed"),
            regressions=tuple(sorted(confirmed)),
            flaky=tuple(sorted(flaky)),
        )
        return tests, after

    def _confirm(
        self, changes: Changes, files: tuple[str, ...], suspects: set[str]
    ) -> tuple[set[str], set[str]]:
        """Split new failures into those that are stable on both trees, and flaky ones.

        Repeats that found no time to finish speak for nobody.
        """
        confirmed = set(suspects)
        for _ in range(REPEATS):
            base = self._run(None, files)
            confirmed &= confirmed if base.timed_out else base.named("passed")
            confirmed -= self._run(changes, files).named("passed")
        return confirmed, suspects - confirmed

    def _relevant(self, info: PatchInfo) -> tuple[str, ...]:
        from agentmem.code.imports import relevant_tests

        found = relevant_tests(self.bench.index, list(info.files), limit=TEST_FILES)
        return tuple(path for path, _ in found)

    def _run(self, changes: Changes | None, files: tuple[str, ...]) -> TestRun:
        sandbox = self.bench.start(changes)
        try:
            return run_tests(sandbox, self.bench.test_command, files, self.bench.test_seconds())
        finally:
            sandbox.close()


def _weigh(
    passes: bool | None, covered: bool | None, tests: Tests, run: TestRun | None, *, edited: bool
) -> Validation:
    """The verdict and the evidence level that the findings earn (design section 1, step 8).

    `edited` is True when the patch changes one of the tests.
    """
    if tests.regressions:
        asides = (_AS_IN_BASE,) if edited else ()
        return Validation(
            "regressed",
            Evidence.E0,
            tuple(f"{name} passed before and fails now" for name in tests.regressions[:10]) + asides,
            reproducer_passes=passes,
            covered=covered,
            tests=tests,
            feedback_title="What the existing tests printed:",
            feedback_output=clip(run.output, 4_000, keep="tail") if run else "",
        )
    if passes is None:
        opinion = "there is no reproducer: only the model's opinion speaks for the patch"
        return Validation("unproven", Evidence.E0, _said((opinion, tests.note)), tests=tests)
    if covered is False:
        why = "the reproducer passes without executing a changed line"
        return Validation("unproven", Evidence.E0, (why,), reproducer_passes=True, covered=False, tests=tests)
    kept = tests.passed_after > 0 and not tests.note
    reasons = (
        "the reproducer failed before and passes now",
        "" if covered else "whether it executes a changed line could not be measured",
        f"{tests.passed_after} relevant existing tests pass" if kept else tests.note,
        f"flaky, not counted: {', '.join(tests.flaky[:5])}" if tests.flaky else "",
    )
    level = Evidence.E2 if kept else Evidence.E1
    return Validation("verified", level, _said(reasons), reproducer_passes=True, covered=covered, tests=tests)


def _but(changes: Changes, paths: tuple[str, ...]) -> Changes:
    """`changes` without what they do to `paths`."""
    kept = {path: state for path, state in changes.files.items() if path not in paths}
    return Changes(kept, [path for path in changes.deleted if path not in paths])


def _covered(executed: Mapping[str, set[int]] | None, changes: Changes, info: PatchInfo) -> bool | None:
    if executed is None:
        return None

    def read(path: str) -> str | None:
        state = changes.files.get(path)
        return state.data.decode("utf-8", "replace") if state else None

    lines = {path: touched_lines(change.added, change.removed) for path, change in info.files.items()}
    return covers_change(executed, lines, read)


def _said(reasons: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(reason for reason in reasons if reason)
