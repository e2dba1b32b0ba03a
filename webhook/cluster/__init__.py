"""The state of the cluster: facts, which of them a request needs, the reader and its cache.

Objects are reduced to facts when they are read. Secret values must not leave this package, except those of
`facts.PLAIN_KEYS`.
"""
