"""The demo: a server, real jobs from a remote client, and what came back. `make demo` runs it."""
