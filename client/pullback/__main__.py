"""`python -m pullback`: the command line."""

from __future__ import annotations

from pullback.command_line import main

if __name__ == "__main__":
    main()
