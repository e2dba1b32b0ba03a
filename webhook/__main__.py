"""`python -m webhook` and `storage-webhook` are one command."""

from webhook.cli import app


def main() -> None:
    """Run the command line."""
    app(prog_name="storage-webhook")


if __name__ == "__main__":
    main()
