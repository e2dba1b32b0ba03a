"""The text of the download program: of its parts, what a pod asks for."""

from __future__ import annotations

import ast
import re
import symtable
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from webhook.download.command import HEAD

PARTS = ("process", "progress", "supervision", "digest", "cache")
MAX_TEXT = 12 * 1024
"""The maximum size in bytes of the text. It is part of every pod that gets it."""

_FOLDER = Path(__file__).with_name("program")


@cache
def program_text(deliver: str, *, supervise: bool = False, digest: bool = False) -> str:
    """The program that delivers a model with the function of this name, as one file.

    It has the definitions that are used and no others, without docstrings, comments and annotations, and with an
    indent of one space and no space after commas. It has no dollar sign, so Kubernetes expands no variables in it.
    """
    arguments = ["sys.argv[1:]", deliver]
    arguments += ["watch=supervise"] * supervise + ["verify=verify"] * digest
    return composed([(_FOLDER / f"{part}.py").read_text("utf-8") for part in PARTS], f"main({', '.join(arguments)})")


@cache
def path_check_text() -> str:
    """The program that checks paths in claims."""
    source = (_FOLDER.parent / "path_check.py").read_text("utf-8")
    return composed([source], "main(sys.argv[1:])", '"""Check that paths exist in mounted claims."""')


def composed(sources: list[str], last: str, head: str = HEAD) -> str:
    """The definitions of the sources that the last statement needs, directly or not, and the statement."""
    statements = [each for source in sources for each in _stripped(source).body]
    kept = _needed(statements, last)
    body = [ast.unparse(each) for each in kept if not isinstance(each, ast.Import | ast.ImportFrom)]
    modules = sorted({name.name for each in kept if isinstance(each, ast.Import) for name in each.names})
    imports = sorted({ast.unparse(each) for each in kept if isinstance(each, ast.ImportFrom)})
    texts = (f"import {', '.join(modules)}", *imports, *body, last)
    lines = [_compact(line) for text in texts for line in text.splitlines()]
    return "\n".join([head, *_joined([_indented(line) for line in lines if line]), ""])


def _stripped(source: str) -> ast.Module:
    module: ast.Module = _Strip().visit(ast.parse(source))
    return ast.fix_missing_locations(module)


class _Strip(ast.NodeTransformer):
    """Remove what has no effect: docstrings, annotations, assertions, causes of exceptions, imports of the parts."""

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        return None if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str) else node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        return self._visit_definition(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        return self._visit_definition(node)

    def _visit_definition(self, node: ast.FunctionDef | ast.ClassDef) -> ast.AST:
        self.generic_visit(node)
        node.body = node.body or [ast.Pass()]
        return node

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.annotation = None
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST | None:
        return ast.Assign([node.target], node.value) if node.value else None

    def visit_Assert(self, _: ast.Assert) -> None:
        return None

    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        node.cause = None
        return node

    def visit_ImportFrom(self, node: ast.ImportFrom) -> list[ast.AST] | None:
        if node.module == "__future__" or str(node.module).startswith("webhook."):
            return None
        return [ast.ImportFrom(node.module, [name], node.level) for name in node.names]


def _needed(statements: list[ast.stmt], last: str) -> list[ast.stmt]:
    """The statements that define what the last one uses, in order."""
    wanted, size = _globals(last), -1
    while size != len(wanted):
        size = len(wanted)
        for each in statements:
            if _defined(each) & wanted:
                wanted |= _globals(ast.unparse(each))
    return [each for each in statements if _defined(each) & wanted]


def _defined(statement: ast.stmt) -> set[str]:
    match statement:
        case ast.Import(names) | ast.ImportFrom(names=names):
            return {name.name for name in names}
        case ast.Assign(targets):
            return {target.id for target in targets if isinstance(target, ast.Name)}
        case ast.FunctionDef(name) | ast.ClassDef(name):
            return {name}
    raise ValueError(f"a part of the program has a statement that defines nothing: {ast.unparse(statement)}")


def _globals(text: str) -> set[str]:
    """The global names that a text uses."""
    return set(_names(symtable.symtable(text, "program", "exec")))


def _names(table: symtable.SymbolTable) -> Iterator[str]:
    for symbol in table.get_symbols():
        if symbol.is_referenced() and (symbol.is_global() or table.get_type() == "module"):
            yield symbol.get_name()
    for inner in table.get_children():
        yield from _names(inner)


_TEXT = re.compile(r"""('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")""")


def _compact(line: str) -> str:
    """The line without the spaces after commas, outside of strings."""
    parts = _TEXT.split(line)
    return "".join(part if index % 2 else part.replace(", ", ",") for index, part in enumerate(parts))


def _indented(line: str) -> str:
    code = line.lstrip(" ")
    return " " * ((len(line) - len(code)) // 4) + code


def _joined(lines: list[str]) -> Iterator[str]:
    """The lines, with the body of a block that is one statement after its head."""
    depths = [len(line) - len(line.lstrip(" ")) for line in (*lines, "")]
    joined = False
    for number, line in enumerate(lines):
        if joined:
            joined = False
            continue
        is_head = re.fullmatch(r" *(if|for|while|with|else|try|except|finally|def|class)\b.*:", line) is not None
        joined = is_head and depths[number + 1] > depths[number] >= depths[min(number + 2, len(lines))]
        joined = joined and not lines[number + 1].endswith(":")
        yield f"{line} {lines[number + 1].lstrip(' ')}" if joined else line
