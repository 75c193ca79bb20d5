"""Trained models in files: what is read, what is written, and in whose order of gates.

Read `spec.py`; `safetensors_file.py` and `state_dict.py`; then ONNX's layout, moves, trace, run, probe, read, scan and
write.
"""
