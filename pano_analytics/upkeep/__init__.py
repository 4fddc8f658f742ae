"""Keeping a library in order: culling, check, rebuild, backup."""
