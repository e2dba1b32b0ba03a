"""Mutation of manifests without a server and a cluster: manifests in and out, and facts from a file.

The command `mutate` and the development page use it. It has no admission logic: it calls the same code as the server.
"""
