"""Searches for hyperparameters: spaces to search in."""

from __future__ import annotations

from sknnopt._spaces import PRESETS, grid, space

__all__ = ["PRESETS", "grid", "space"]
