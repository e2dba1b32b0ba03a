"""Stands for the entry point of the image kserve/storage-initializer: URI and directory, in pairs.

Runs in the environment of `environment.py`.
"""

import logging
import sys

from kserve_storage import Storage  # type: ignore[import-not-found]


def main(words: list[str]) -> None:
    logging.basicConfig(level=logging.INFO)
    Storage.download_files(words[0::2], words[1::2])


if __name__ == "__main__":
    main(sys.argv[1:])
