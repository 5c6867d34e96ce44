"""The demo: a simulated marketplace streamed at a running server over HTTP, and what came of it."""
