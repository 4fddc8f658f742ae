"""Frames in, frames out: what the figures mean. No files, no screen."""
