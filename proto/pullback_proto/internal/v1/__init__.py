"""Stubs of package `pullback.internal.v1`: front end to dispatcher, over a Unix socket.

Free to change: both ends are processes of one installation, started together.
"""
