"""The program that runs in the init container. Its parts are `process`, `supervision`, `digest` and `cache`.

It runs in third-party images, as the text that `webhook.download.composition` makes of the parts that a pod asks for:
only the standard library, and Python 3.8 or newer.
"""
