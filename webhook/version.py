"""The version of the installed program."""

from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version


def version() -> str:
    """The version, such as `0.1.0`; `unknown` when the program runs without being installed."""
    try:
        return installed_version("storage-initializer-webhook")
    except PackageNotFoundError:
        return "unknown"
