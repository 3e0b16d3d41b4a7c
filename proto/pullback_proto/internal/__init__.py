"""Wires inside one installation; both ends are always of one version."""
