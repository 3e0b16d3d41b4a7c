"""A client without the client library: the generated stubs alone, as in any other language.

The graph is y = sum(x * x), written node by node; its gradient is 2 x.
"""

from __future__ import annotations

import struct

import grpc

from examples.server_process import any_server
from pullback_proto.v1 import graph_pb2, job_pb2, service_pb2_grpc, tensor_pb2

VECTOR = tensor_pb2.TensorType(dtype=tensor_pb2.DTYPE_FLOAT64, shape=[3])


def sum_of_squares() -> graph_pb2.Graph:
    """Values are numbered inputs first, then nodes: x is 0, x * x is 1, the sum is 2."""
    axes = graph_pb2.Attribute(name="axes", ints_value=graph_pb2.Ints(values=[0]))
    keepdims = graph_pb2.Attribute(name="keepdims", bool_value=False)
    return graph_pb2.Graph(
        inputs=[graph_pb2.Input(name="x", type=VECTOR)],
        nodes=[
            graph_pb2.Node(op="multiply", operands=[0, 0]),
            graph_pb2.Node(op="sum", operands=[1], attributes=[axes, keepdims]),
        ],
        outputs=[graph_pb2.Output(name="y", value=2)],
    )


def main() -> None:
    """Send the graph once, then a job that names it by its fingerprint."""
    x = tensor_pb2.Tensor(dtype=VECTOR.dtype, shape=[3], data=struct.pack("<3d", 1.0, 2.0, 3.0))
    with any_server() as address, grpc.insecure_channel(address) as channel:
        service = service_pb2_grpc.GradientServiceStub(channel)
        handle = service.PutGraph(sum_of_squares())
        job = job_pb2.Job(
            fingerprint=handle.fingerprint,
            inputs=[tensor_pb2.NamedTensor(name="x", tensor=x)],
            gradient=job_pb2.Gradient(wrt=["x"]),
        )
        result = service.Evaluate(job)
    print("y =", *struct.unpack("<d", result.outputs[0].tensor.data))
    print("dy/dx =", *struct.unpack("<3d", result.derivatives[0].value.data))


if __name__ == "__main__":
    main()
