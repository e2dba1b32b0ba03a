import pytest

from webhook.download.command import PROGRAM, STOCK_COMMAND, CachedModel, Limits, redacted, wrap_command
from webhook.download.key import key

KEY = key("s3://models/iris")
MODEL = CachedModel("s3://models/iris", "/mnt/cache", "models", KEY)


def test_stock_initializer():
    command, args = wrap_command(STOCK_COMMAND, ["s3://models/iris", "/mnt/models"], "/mnt/models", MODEL, Limits())
    assert command == ["python3", "-I", "-S", "-c", PROGRAM]
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
    model = CachedModel("https://host/$(TOKEN)/model", "/mnt/cache", "models", KEY)
    _, args = wrap_command(["/download"], [], "/mnt/models", model, Limits())
    assert "--uri=https://host/$$(TOKEN)/model" in args


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


@pytest.mark.parametrize(
    ("uri", "safe"),
    [
        ("s3://bucket/model", "s3://bucket/model"),
        ("hf://org/model@main", "hf://org/model@main"),
        ("oci://registry/model@sha256:1", "oci://registry/model@sha256:1"),
        ("https://me:secret@host/model", "https://***@host/model"),
        ("https://host/model?sig=secret", "https://host/model?***"),
    ],
)
def test_secrets_in_uris_are_redacted(uri: str, safe: str):
    assert redacted(uri) == safe
