import ast
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.download import program
from webhook.download.command import STOCK_COMMAND, CachedModel, Limits, program_text, shortened, wrap_command
from webhook.download.key import key

KEY = key("s3://models/iris")
MODEL = CachedModel("s3://models/iris", "/mnt/cache", "models", KEY)


def test_stock_initializer():
    command, args = wrap_command(STOCK_COMMAND, ["s3://models/iris", "/mnt/models"], "/mnt/models", MODEL, Limits())
    assert command == ["python3", "-I", "-S", "-c", program_text()]
    assert args == [
        "--root=/mnt/cache",
        "--dir=models",
        f"--key={KEY}",
        "--uri=s3://models/iris",
        "--download-timeout=7200",
        "--wait-timeout=7200",
        "--trust-locks=false",
        "--",
        "/storage-initializer/scripts/initializer-entrypoint",
        "s3://models/iris",
        "{}",
    ]


def test_only_the_model_path_is_redirected():
    given = ["/mnt/models/a", "/mnt/models", "/mnt/models2", "--out=/mnt/models", "$(TOKEN)"]
    _, args = wrap_command(["/download"], given, "/mnt/models", MODEL, Limits())
    assert args[args.index("--") + 2 :] == ["{}/a", "{}", "/mnt/models2", "--out=/mnt/models", "$(TOKEN)"]


def test_kubernetes_expands_no_variables_in_the_options():
    """A variable in a URI may contain a secret, which must not appear in messages and records."""
    assert "--uri=https://host/$(TOKEN)/model" in _expanded_options("https://host/$(TOKEN)/model")


@given(st.text("$()X", max_size=12))
def test_options_reach_the_program_as_they_are(text: str):
    assert f"--uri=hf://{text}" in _expanded_options(f"hf://{text}")


def _expanded_options(uri: str) -> list[str]:
    model = CachedModel(uri, "/mnt/cache", "models", KEY)
    _, args = wrap_command(["/download"], [], "/mnt/models", model, Limits())
    return [expanded(arg, {"TOKEN": "secret", "X": "secret", "": "secret"}) for arg in args]


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
        wrap_command([], ["s3://models/iris", "/mnt/models"], "/mnt/models", MODEL, Limits())


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


def test_the_shortened_program_is_the_same_program():
    source = Path(program.__file__).read_text()
    assert len(program_text()) < 0.8 * len(source)
    assert _code(program_text()) == _code(source)


def test_shortening_keeps_what_has_a_meaning():
    source = (
        '"""Module.\n\n  text"""\n\nclass A:\n    """Only this."""\n\n\n'
        'def f():  # why\n    """Drop."""\n    # why\n    return "# no"\n'
    )
    assert shortened(source) == '"""Module.\n\n  text"""\nclass A:\n """Only this."""\ndef f():\n return "# no"\n'


def _code(source: str) -> str:
    """The syntax tree without the docstrings of functions and classes."""
    module = ast.parse(source)
    for node in ast.walk(module):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node) and len(node.body) > 1:
            del node.body[0]
    return ast.dump(module)
