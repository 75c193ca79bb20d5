"""Recurrent cells: one file each, found by folder."""
