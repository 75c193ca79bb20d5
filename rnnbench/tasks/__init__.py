"""Sequence tasks: one file each, found by folder."""
