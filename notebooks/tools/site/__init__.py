"""The press for readers: the stored notebooks as pages, the docstrings of `bnref` as a reference, a front page."""
