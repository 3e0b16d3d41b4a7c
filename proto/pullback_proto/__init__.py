"""The wire: `.proto` files with the generated stubs beside them, and nothing else.

Never edit a `*_pb2*` file; edit its `.proto` and run `make proto`. The rules that keep old clients
working stand at the head of `v1/service.proto`.
"""
