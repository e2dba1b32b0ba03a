"""The command line: commands, options, and manifests in and out.

The top layer, the only one above the server. It has no admission logic: it calls the same code as the server.
"""
