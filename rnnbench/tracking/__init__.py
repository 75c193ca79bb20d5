"""Figures over commits: reading what asv keeps, finding steps in it, and gating a commit by measuring it anew."""
