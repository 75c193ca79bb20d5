"""How the measurement and the store are put to the test: one module for each kind of proof."""
