"""The shared cache: the download program of the init container, its command, and the store that it fills.

The program is passed as text to third-party images: it uses only the standard library and imports nothing from here.
"""
