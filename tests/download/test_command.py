import ast
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.download.command import (
    HEAD,
    STOCK_COMMAND,
    CachedModel,
    Delivery,
    Limits,
    Models,
    is_wrapped,
    wrap_cached,
    wrap_in_place,
)
from webhook.download.composition import MAX_TEXT, PARTS, composed, path_check_text, program_text
from webhook.download.key import key

KEY = key("s3://models/iris")
MODEL = CachedModel("s3://models/iris", "/mnt/cache", "models", KEY)


def test_stock_initializer():
    given = ["s3://models/iris", "/mnt/models"]
    command, args = wrap_cached(STOCK_COMMAND, given, "/mnt/models", MODEL, Delivery())
    assert command == ["python3", "-I", "-S", "-c", program_text("in_cache")]
    assert args[1:] == ["/storage-initializer/scripts/initializer-entrypoint", "s3://models/iris", "{}"]
    options = json.loads(args[0])
    assert "pruned while this pod runs" in options.pop("note")["note"]
    assert "Set fsGroup" in options.pop("advice")
    assert options == {
        "root": "/mnt/cache",
        "dir": "models",
        "key": KEY,
        "source": "s3://models/iris",
        "sha256": "",
        "timeout": 7200,
        "wait-timeout": 7200,
        "links": "",
        "termination-log": "/dev/termination-log",
    }


def test_only_the_model_path_is_redirected():
    given = ["/mnt/models/a", "/mnt/models", "/mnt/models2", "--out=/mnt/models", "$(TOKEN)"]
    _, args = wrap_cached(["/download"], given, "/mnt/models", MODEL, Delivery())
    assert args[2:] == ["{}/a", "{}", "/mnt/models2", "--out=/mnt/models", "$(TOKEN)"]


def test_kubernetes_expands_no_variables_in_the_options():
    """A variable in a URI may contain a secret, which must not appear in messages and records."""
    assert _options("https://host/$(TOKEN)/model")["source"] == "https://host/$(TOKEN)/model"


@given(st.text('$()X"\\', max_size=12))
def test_options_reach_the_program_as_they_are(text: str):
    assert _options(f"hf://{text}")["source"] == f"hf://{text}"


def _options(uri: str) -> Any:
    model = CachedModel(uri, "/mnt/cache", "models", KEY)
    _, args = wrap_cached(["/download"], [], "/mnt/models", model, Delivery())
    return json.loads(expanded(args[0], {"TOKEN": "secret", "X": "secret", "": "secret"}))


def expanded(text: str, values: dict[str, str]) -> str:
    """A command or argument as a container gets it (Kubernetes API: Container, args).

    `$(NAME)` is replaced with the value of a variable that exists, and `$$` with `$`, from left to right. Anything
    else stays.
    """

    def value(found: re.Match[str]) -> str:
        if found[0] == "$$":
            return "$"
        return values.get(found[1], found[0])

    return re.sub(r"\$\$|\$\(([^)]*)\)", value, text)


def test_a_container_without_a_command_cannot_be_wrapped():
    with pytest.raises(ValueError, match="a container without a command"):
        wrap_cached([], ["s3://models/iris", "/mnt/models"], "/mnt/models", MODEL, Delivery())


@pytest.mark.parametrize("directory", ["/models", "../models", "models/../.."])
def test_directory_stays_in_the_claim(directory: str):
    with pytest.raises(ValueError, match="not a directory inside the claim"):
        CachedModel("s3://models/iris", "/mnt/cache", directory, KEY)


@pytest.mark.parametrize("bad", ["", "..", "iris", KEY.upper(), KEY + "\n"])
def test_key_is_checked(bad: str):
    with pytest.raises(ValueError, match="not a cache key"):
        CachedModel("s3://models/iris", "/mnt/cache", "models", bad)


@pytest.mark.parametrize(("directory", "path"), [("", KEY), ("models", f"models/{KEY}"), ("a/b/", f"a/b/{KEY}")])
def test_sub_path(directory: str, path: str):
    assert CachedModel("s3://models/iris", "/mnt/cache", directory, KEY).sub_path == path


DIGEST = 64 * "a"
DOWNLOAD = ["s3://models/iris", "/mnt/models"]


def test_only_what_a_pod_asks_for_is_in_its_text():
    texts = {
        (deliver, supervise, digest): program_text(deliver, supervise=supervise, digest=digest)
        for deliver in ("in_place", "in_cache", "check")
        for supervise in (False, True)
        for digest in (False, True)
    }
    for (deliver, supervise, digest), text in texts.items():
        assert len(text.encode()) <= MAX_TEXT
        assert ("flock" in text) == (deliver == "in_cache")
        assert ("stall-timeout" in text) == supervise
        assert ("hashlib" in text) == digest
        assert ("Popen" in text) == (deliver != "check")
    assert len(path_check_text().encode()) < 4_000


@pytest.mark.parametrize("text", [program_text("in_cache", supervise=True, digest=True), path_check_text()])
def test_kubernetes_passes_the_program_unchanged(text: str):
    """A dollar sign starts a variable reference, and trailing blanks prevent a readable YAML block."""
    assert "$" not in text
    assert not [line for line in text.splitlines() if line != line.rstrip()]


def test_the_composed_program_has_the_definitions_of_its_parts():
    """Each definition is the one of the source, but for what has no effect."""
    folder = Path(__file__).parents[2] / "webhook" / "download" / "program"
    sources = [ast.parse((folder / f"{part}.py").read_text()) for part in PARTS]
    known = {_without_annotations(each) for source in sources for each in source.body}
    program = ast.parse(program_text("in_cache", supervise=True, digest=True))
    definitions = [each for each in program.body if isinstance(each, ast.FunctionDef | ast.ClassDef)]
    assert len(definitions) > 20
    for each in definitions:
        assert _without_annotations(each) in known, each.name


class _WithoutTypes(ast.NodeTransformer):
    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        return None if isinstance(node.value, ast.Constant) else node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        return ast.Assign([node.target], node.value)

    def visit_Assert(self, _: ast.Assert) -> None:
        return None


def _without_annotations(statement: ast.stmt) -> str:
    """The statement as text, without annotations, docstrings, assertions and causes."""
    statement = _WithoutTypes().visit(statement)
    for node in ast.walk(statement) if statement else ():
        for name in {"returns", "annotation", "cause"} & set(node._fields):
            setattr(node, name, None)
        if isinstance(node, ast.ClassDef):
            node.body = node.body or [ast.Pass()]
    return ast.unparse(ast.fix_missing_locations(statement)) if statement else ""


def test_composition_keeps_what_has_a_meaning():
    sources = [
        '"""Module."""\nimport os\nimport json\nLIMIT: int = 1\n\nclass A:\n    """Only this."""\n\n\n'
        'def f(x: int) -> str:  # why\n    """Drop."""\n    for y in x:\n        # why\n        json = os.sep\n'
        '    if x:\n        return "# no"\n    else:\n        raise A(LIMIT)\n',
        "from webhook.a import f\n\ndef g():\n    return f(1)\n\ndef unused():\n    return json\n",
    ]
    assert composed(sources, "g()", "#").splitlines() == [
        "#",
        "import os",
        "LIMIT = 1",
        "class A: pass",
        "def f(x):",
        " for y in x: json = os.sep",
        " if x: return '# no'",
        " else: raise A(LIMIT)",
        "def g(): return f(1)",
        "g()",
    ]


def test_a_statement_that_defines_nothing_is_an_error():
    with pytest.raises(ValueError, match="defines nothing"):
        composed(["print()"], "f()")


def test_download_in_place():
    models = Models("s3://models/iris", {"/mnt/models": DIGEST})
    command, args = wrap_in_place(STOCK_COMMAND, DOWNLOAD, models, Delivery(True, Limits(stall=60)))
    assert command[4] == program_text("in_place", supervise=True, digest=True)
    assert args[1:] == [*STOCK_COMMAND, *DOWNLOAD]
    options = json.loads(args[0])
    assert (options["models"], options["sha256"], options["stall-timeout"]) == ({"/mnt/models": DIGEST}, DIGEST, 60)
    assert is_wrapped([*command, *args])
    assert is_wrapped(["/vault/env", *command])
    assert not is_wrapped(args)


def test_the_result_has_a_digest_only_of_one_model():
    models = Models("a b", {"/mnt/a": DIGEST, "/mnt/b": ""})
    _, args = wrap_in_place(STOCK_COMMAND, DOWNLOAD, models, Delivery())
    assert json.loads(args[0])["sha256"] == ""


def test_the_head_is_short_and_names_the_documentation():
    assert "docs/downloads.md" in HEAD
