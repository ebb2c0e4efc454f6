"""Where tables are too short for what `"auto"` does with long ones."""

from __future__ import annotations

#: From this many rows on, ``"auto"`` holds rows out, drops units and computes in single
#: precision.
MANY_ROWS = 100
