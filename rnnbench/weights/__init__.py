"""Trained models in files: what is read, what is written, and in whose order of gates."""
