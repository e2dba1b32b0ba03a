"""What a pod requests: its annotations and labels, read once into a ModelRequest.

Pure: no I/O. Nothing here depends on the state of the cluster; see `cluster`.
"""
