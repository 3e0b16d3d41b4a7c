"""One short file per use of Pullback: `python -m examples.theory`, and so on."""
