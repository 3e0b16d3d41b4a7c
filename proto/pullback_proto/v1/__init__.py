"""Stubs of package `pullback.v1`: what clients and servers say to each other.

Public and frozen: fields are only ever added.
"""
