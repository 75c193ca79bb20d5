"""Reports: a stored run as tables and sentences, for a terminal, Markdown or CSV. Prints nothing.

Read `document.py` (what a report holds), `columns.py`, `sentences.py` and `rivals.py` over `gains.py`, and `notes.py`
(its parts), then `terminal.py`, `markdown.py` and `export.py` (where it goes).
"""
