"""Benchmarks beside their peers: `python -m benchmarks NAME [--quick] [--json]`."""
