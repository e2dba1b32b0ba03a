"""A raw pod: find by name, edit copy-on-write, merge, name and diff.

Pure: no I/O. Modules here must not import settings or requests.
"""
