"""The table of cases in docs/testing.md, written by a run of the tests on the node."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

DOCUMENT = Path(__file__).parents[2] / "docs" / "testing.md"
_TABLE = re.compile(r"(<!-- cases of the node -->\n).*?(<!-- end of the cases -->)", re.DOTALL)


class Row(NamedTuple):
    """A case: what the pod asked for, what was compared, and the result of the run."""

    source: str
    compared: str
    result: str


def written(text: str, rows: Iterable[Row]) -> str:
    """The document with these rows, sorted."""
    lines = ["| The pod asks for | Compared in its container | Result |", "|---|---|---|"]
    lines += [f"| {row.source} | {row.compared} | {row.result} |" for row in sorted(set(rows))]
    table = "\n".join(lines)
    return _TABLE.sub(lambda match: f"{match[1]}\n{table}\n\n{match[2]}", text)
