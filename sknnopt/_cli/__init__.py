"""What the command line does: read tables, tune, predict, report."""

from __future__ import annotations
