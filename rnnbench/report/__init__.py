"""Reports: records aggregated over seeds, as tables and sentences for a terminal, Markdown or CSV. Prints nothing."""
