"""The press: what turns chapters into notebooks, pages and `bnref/equations.py`."""
