"""What a part of the soak found: a table, and what must not be."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from rich.console import Console
from rich.table import Table

from benchmarks.soak.load import Tally


@dataclass
class Report:
    """The figures of one part. It went well when there are no problems."""

    title: str
    rows: list[tuple[str, str]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def add(self, what: str, figure: object) -> None:
        self.rows.append((what, str(figure)))

    def must(self, holds: bool, problem: str) -> None:
        """Note a problem unless the condition holds."""
        if not holds:
            self.problems.append(problem)

    def take(self, tally: Tally) -> None:
        """The figures of a load that may lose nothing."""
        self.add("admissions", f"{tally.sent:,}")
        self.add("failed", f"{len(tally.failed)}{most(tally.failed)}")
        self.add("wrong", f"{len(tally.wrong)} of {tally.compared:,} made again{most(tally.wrong)}")
        self.must(not tally.failed, "admissions failed")
        self.must(not tally.wrong, "answers were wrong")

    def show(self, console: Console) -> None:
        table = Table("What", "Figure", title=self.title, box=None, title_justify="left")
        for row in self.rows:
            table.add_row(*row)
        console.print(table)
        for problem in self.problems:
            console.print(f"[red]{self.title}: {problem}[/]")
        console.print()


def most(problems: list[str]) -> str:
    """The most frequent of them, a line each."""
    return "".join(f"\n  {count} x {problem}" for problem, count in Counter(problems).most_common(3))


def milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms"
