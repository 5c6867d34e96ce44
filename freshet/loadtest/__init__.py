"""The load test: events and rankings at given rates, over HTTP, and how soon they are known."""
