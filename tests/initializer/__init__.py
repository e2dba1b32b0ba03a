"""KServe's own downloader, as the init container runs it, for tests that need the real one."""
