"""Report of one part of the soak: a table of figures, and problems."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from rich.console import Console
from rich.table import Table

from benchmarks.soak.load import Tally


@dataclass
class Report:
    """Figures and problems of one part. The part succeeded if there are no problems."""

    title: str
    rows: list[tuple[str, str]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def add(self, what: str, figure: object) -> None:
        self.rows.append((what, str(figure)))

    def must(self, holds: bool, problem: str) -> None:
        """Add a problem unless the condition holds."""
        if not holds:
            self.problems.append(problem)

    def take(self, tally: Tally) -> None:
        """Add the figures of a load in which no request may fail."""
        self.add("admissions", f"{tally.sent:,}")
        self.add("failed", f"{len(tally.failed)}{most(tally.failed)}")
        self.add("slow, not lost", tally.slow)
        self.add("wrong", f"{len(tally.wrong)} of {tally.compared:,} compared{most(tally.wrong)}")
        self.must(not tally.failed, "admissions failed")
        self.must(not tally.wrong, "responses were wrong")

    def show(self, console: Console) -> None:
        table = Table("What", "Figure", title=self.title, box=None, title_justify="left")
        for row in self.rows:
            table.add_row(*row)
        console.print(table)
        for problem in self.problems:
            console.print(f"[red]{self.title}: {problem}[/]")
        console.print()


def most(problems: list[str]) -> str:
    """The most frequent problems, one per line."""
    return "".join(f"\n  {count} x {problem}" for problem, count in Counter(problems).most_common(3))


def milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms"
