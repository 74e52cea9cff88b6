"""The press for readers: every stored notebook as a page, the docstrings of `bnref` as a reference, and a front page."""
