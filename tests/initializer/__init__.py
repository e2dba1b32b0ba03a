"""Runs KServe's downloader as the init container does."""
