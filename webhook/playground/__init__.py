"""The development page: shows in a browser what the webhook does to manifests.

`serve --dev` serves it on loopback. A production server imports none of it. It has no admission logic: it calls the
same code as the command `mutate`.
"""
