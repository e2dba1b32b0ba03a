"""The entry point of the image kserve/storage-initializer: arguments are pairs of URI and directory.

Runs in the environment of `environment.py`.
"""

import logging
import sys

from kserve_storage import Storage  # type: ignore[import-not-found]


def main(arguments: list[str]) -> None:
    logging.basicConfig(level=logging.INFO)
    Storage.download_files(arguments[0::2], arguments[1::2])


if __name__ == "__main__":
    main(sys.argv[1:])
