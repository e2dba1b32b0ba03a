"""`python -m webhook` and `storage-webhook` are one command."""

import gc
import os

# Looking for plugins costs pydantic more than all that `mutate` does, and there are none.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
# The zones of the system. Without this, Python loads 600 KB of build settings to find where they are.
os.environ.setdefault("PYTHONTZPATH", "/usr/share/zoneinfo")

# Starting makes many objects and no garbage. The server sets thresholds of its own when it has started.
gc.set_threshold(300_000)

from webhook.kubernetes_api.packages import load_only_named_modules  # noqa: E402

load_only_named_modules()

from webhook.cli.app import app  # noqa: E402


def main() -> None:
    """Run the command line."""
    app(prog_name="storage-webhook")


if __name__ == "__main__":
    main()
