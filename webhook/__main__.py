"""`python -m webhook` and `storage-webhook` are one command."""

import os

# Looking for plugins costs pydantic more than all that `mutate` does, and there are none.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")

from webhook.cli.app import app


def main() -> None:
    """Run the command line."""
    app(prog_name="storage-webhook")


if __name__ == "__main__":
    main()
