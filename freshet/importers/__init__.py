"""Importers: files of events, read into the wire format, and two ways to send them."""
