"""The command line: commands and options.

The top layer, the only one above the server. It has no admission logic: it calls the same code as the server.
"""
