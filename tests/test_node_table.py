"""The table in docs/testing.md has each case of the tests on the node."""

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.node.table import DOCUMENT, Row, written

FOLDER = Path(__file__).parent / "node"


def _cases() -> Iterator[tuple[str, str]]:
    for path in FOLDER.glob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "case":
                source, compared = map(ast.literal_eval, node.args)
                yield source, compared


def test_every_case_is_in_the_table() -> None:
    text = DOCUMENT.read_text()
    found = list(_cases())
    assert len(found) > 50
    assert [case for case in found if f"| {case[0]} | {case[1]} | passed |" not in text] == []


def test_the_table_is_replaced() -> None:
    text = "a\n<!-- cases of the node -->\nold\n<!-- end of the cases -->\nb"
    result = written(text, [Row("s", "c", "passed"), Row("r", "c", "failed"), Row("s", "c", "passed")])
    assert "old" not in result
    assert "| r | c | failed |\n| s | c | passed |\n" in result
    assert written(result, [Row("s", "c", "passed"), Row("r", "c", "failed")]) == result
