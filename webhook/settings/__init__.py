"""The administrator's settings: `model` defines them, `parse` validates them, the sources load and watch them.

Only this package reads the ConfigMap. `model` and `parse` do no I/O.
"""
