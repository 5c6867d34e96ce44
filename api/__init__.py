"""The HTTP side: routes by resource, request and response structs, and errors that name a field."""
