"""Learning to rank from what was served: examples, a fit, a gate, a card."""
