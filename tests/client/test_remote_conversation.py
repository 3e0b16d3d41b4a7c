"""What a client says to a service: what travels when, what is retried, what is sent again."""

from __future__ import annotations

import numpy as np
import pytest

from pullback.job_arguments import make_job
from pullback.remote.passing import LARGE_BYTES, PARTS_BYTES
from pullback.remote.remote_tensor import RemoteTensor
from pullback.remote.retry import GRACE_S, RetryPolicy
from pullback_graph.errors import (
    ERRORS,
    DeadlineExceeded,
    InputError,
    NotFoundError,
    ServiceError,
    UnsupportedError,
)
from pullback_graph.graph import Graph
from pullback_graph.job import GraphHash, Result, TensorHash
from pullback_graph.want import Hvp, Vjp
from pullback_proto.v1 import service_pb2
from tests.client.fake_service import FakeService
from tests.client.fake_transport import FakeTransport
from tests.client.graphs import product, square

LARGE = LARGE_BYTES // 8


@pytest.fixture
def service() -> FakeService:
    """A service that does as it should."""
    return FakeService()


@pytest.fixture
def transport(service: FakeService) -> FakeTransport:
    """A client of it, without a network."""
    return FakeTransport(service)


def evaluate(transport: FakeTransport, graph, inputs, **keywords) -> Result:
    """The result of one job."""
    job = make_job(graph, inputs, **keywords)
    return transport.run(transport.conversation.evaluate(job))


# --- graphs ---------------------------------------------------------------------------------------


def test_a_graph_travels_once(service: FakeService, transport: FakeTransport):
    """The first job carries the graph, every later one its fingerprint; no other call is made."""
    for x in (1.0, 2.0, 3.0):
        assert evaluate(transport, square(), {"x": x}, gradient="x").gradients["x"] == 2 * x
    assert [type(job.graph) for job in service.jobs] == [Graph, GraphHash, GraphHash]
    assert service.calls == {"Evaluate": 3}


def test_a_graph_the_service_dropped_is_sent_again(service: FakeService, transport: FakeTransport):
    """NOT_FOUND is not the caller's business: the graph is put, and the job asked once more."""
    evaluate(transport, square(), {"x": 1.0})
    service.restart()
    assert evaluate(transport, square(), {"x": 3.0}).outputs["y"] == 9.0
    assert service.calls == {"Evaluate": 3, "PutGraph": 1}


def test_a_graph_is_sent_again_only_once(service: FakeService, transport: FakeTransport):
    """A service that loses it at once is told so by an error, not by an endless exchange."""
    evaluate(transport, square(), {"x": 1.0})
    service.next("Evaluate", *[NotFoundError("lost")] * 3)
    with pytest.raises(NotFoundError, match="lost"):
        evaluate(transport, square(), {"x": 3.0})
    assert service.calls["Evaluate"] == 3


def test_an_unknown_hash_is_the_callers_error(transport: FakeTransport):
    """A hash that this client never sent cannot be sent again."""
    with pytest.raises(NotFoundError):
        evaluate(transport, GraphHash("00" * 32), {"x": 1.0})


def test_the_services_own_fingerprint_is_used(service: FakeService, transport: FakeTransport):
    """A server of another version may name graphs otherwise; its name is what jobs then say."""
    service.keeps_inline = False
    service.rename = lambda fingerprint: fingerprint[::-1]
    graph = square()
    for x in (1.0, 2.0, 3.0):
        assert evaluate(transport, graph, {"x": x}).outputs["y"] == x * x
    assert service.jobs[-1].graph == GraphHash(graph.fingerprint[::-1])


def test_a_put_graph_can_be_named_by_its_hash(service: FakeService, transport: FakeTransport):
    """The handle of put_graph stands for the graph, also after the service has forgotten it."""
    graph = square()
    handle = transport.run(transport.conversation.put_graph(graph))
    assert evaluate(transport, handle, {"x": 2.0}).outputs["y"] == 4.0
    service.restart()
    assert evaluate(transport, handle, {"x": 2.0}).outputs["y"] == 4.0
    assert service.calls["PutGraph"] == 2


# --- tensors --------------------------------------------------------------------------------------


def test_an_optimiser_sends_its_data_once(service: FakeService, transport: FakeTransport):
    """A large input is stored at its first use; equal bits are only named from then on."""
    for _ in range(3):
        result = evaluate(transport, square(LARGE), {"x": np.ones(LARGE)})
        assert result.outputs["y"] == LARGE
    assert service.calls == {"PutTensor": 1, "Evaluate": 3}
    assert all(isinstance(job.inputs["x"], TensorHash) for job in service.jobs)


def test_new_parameters_go_with_their_job(service: FakeService, transport: FakeTransport):
    """What a job differentiates by is not stored; from the second time the same comes it is."""
    for scale in (1.0, 2.0, 3.0, 2.0, 2.0):
        x = np.full(LARGE, scale)
        result = evaluate(transport, square(LARGE), {"x": x}, gradient="x")
        assert np.array_equal(result.gradients["x"], 2 * x)
    named = [isinstance(job.inputs["x"], TensorHash) for job in service.jobs]
    assert named == [False, False, False, True, True]
    assert service.calls == {"PutTensor": 1, "Evaluate": 5}


@pytest.mark.parametrize("keeps_passed", [True, False])
def test_a_new_parameter_travels_once(
    service: FakeService, transport: FakeTransport, keeps_passed: bool
):
    """Its second time, its header has it stored; an older service, or one that forgot, gets it."""
    service.keeps_passed = keeps_passed
    x = np.arange(float(LARGE))
    for _ in range(3):
        evaluate(transport, square(LARGE), {"x": x}, gradient="x")
    assert [isinstance(job.inputs["x"], TensorHash) for job in service.jobs] == [False, True, True]
    assert service.calls == {"PutTensor": 1 if keeps_passed else 2, "Evaluate": 3}
    assert service.stored_bytes == (0 if keeps_passed else x.nbytes)
    service.restart()
    evaluate(transport, square(LARGE), {"x": x}, gradient="x")
    assert service.stored_bytes == x.nbytes * (1 if keeps_passed else 2)


def test_parameters_that_differ_where_nobody_looks_are_other_ones(
    service: FakeService, transport: FakeTransport
):
    """Some bytes tell that an array is new; that it is not, only a hash of all of them."""
    x = np.ones(8 * LARGE)
    for place, scale in [(0, 1.0), *[(place, 5.0) for place in range(4000, 4200, 20)]]:
        x[place] = scale
        result = evaluate(transport, square(x.size), {"x": x}, gradient="x")
        assert np.array_equal(result.gradients["x"], 2 * x)


def test_many_parameters_go_beside_their_job(service: FakeService, transport: FakeTransport):
    """Over a megabyte goes in parts, and so does the gradient; the graph is kept as ever."""
    for scale in (1.0, 2.0):
        x = np.full(PARTS_BYTES // 8, scale)
        result = evaluate(transport, square(x.size), {"x": x}, gradient="x")
        assert np.array_equal(result.gradients["x"], 2 * x)
        result.gradients["x"][0] = 0.0  # it is the caller's own
    assert [type(job.graph) for job in service.jobs] == [Graph, GraphHash]
    assert service.calls == {"EvaluateInParts": 2}


def test_what_was_large_comes_in_parts_the_next_time(
    service: FakeService, transport: FakeTransport
):
    """However little is sent, the second large result of a kind comes beside its message."""
    size, ones = PARTS_BYTES // 8, np.ones(PARTS_BYTES // 8)
    want = Vjp(("x",), (("y",),))
    handle = transport.run(transport.conversation.put_tensor(ones))
    for _ in range(3):
        found = evaluate(transport, square(size), {"x": handle}, want=want, seeds=[{"y": 1}])
        assert np.array_equal(found.seed(0)["x"], 2 * ones)
    assert service.calls == {"PutTensor": 1, "Evaluate": 1, "EvaluateInParts": 2}


def test_a_service_without_parts_is_sent_large_parameters_to_keep(
    service: FakeService, transport: FakeTransport
):
    """An older service refuses the call once; nobody but the wire notices."""
    service.next("EvaluateInParts", *[UnsupportedError("no such method")] * 9)
    for scale in (1.0, 2.0):
        x = np.full(PARTS_BYTES // 8, scale)
        result = evaluate(transport, square(x.size), {"x": x}, gradient="x")
        assert np.array_equal(result.gradients["x"], 2 * x)
    assert service.calls == {"EvaluateInParts": 1, "PutTensor": 2, "Evaluate": 2}


def test_a_job_that_is_unsupported_says_nothing_of_parts(
    service: FakeService, transport: FakeTransport
):
    """Both ways it is refused; the next job may go in parts again."""
    x = np.ones(PARTS_BYTES // 8)
    for method in ("EvaluateInParts", "Evaluate"):
        service.next(method, UnsupportedError("no such device"))
    with pytest.raises(UnsupportedError, match="device"):
        evaluate(transport, square(x.size), {"x": x}, gradient="x")
    evaluate(transport, square(x.size), {"x": 2.0 * x}, gradient="x")
    assert service.calls["EvaluateInParts"] == 2


def test_parts_are_sent_again_as_anything_is(service: FakeService, transport: FakeTransport):
    """A service that is away is waited for; a graph that it dropped goes before the job."""
    x = np.ones(PARTS_BYTES // 8)
    service.next("EvaluateInParts", ServiceError("away"))
    evaluate(transport, square(x.size), {"x": x}, gradient="x")
    service.restart()
    evaluate(transport, square(x.size), {"x": 2.0 * x}, gradient="x")
    assert service.calls == {"EvaluateInParts": 4, "PutGraph": 1}


def test_a_garbled_part_is_the_services_fault(service: FakeService, transport: FakeTransport):
    """As a garbled reply is."""
    for reply in ([b"?"], [], [service_pb2.Part(message=b"?").SerializeToString()]):
        service.EvaluateInParts = lambda _, reply=reply: reply  # type: ignore[method-assign, misc]
        x = np.random.default_rng().normal(size=PARTS_BYTES // 8)
        with pytest.raises(ServiceError, match="does not parse"):
            evaluate(transport, square(x.size), {"x": x}, gradient="x")


def test_small_inputs_travel_inside(service: FakeService, transport: FakeTransport):
    """Below the threshold an input costs no call of its own."""
    evaluate(transport, square(LARGE - 1), {"x": np.ones(LARGE - 1)})
    assert service.calls == {"Evaluate": 1}


def test_a_changed_array_is_another_tensor(service: FakeService, transport: FakeTransport):
    """Names follow the bits: an array written to between two calls is sent anew."""
    x = np.ones(LARGE)
    evaluate(transport, square(LARGE), {"x": x})
    x[0] = 3.0
    assert evaluate(transport, square(LARGE), {"x": x}).outputs["y"] == LARGE + 8
    assert service.calls["PutTensor"] == 2


def test_a_handle_stands_for_its_array(service: FakeService, transport: FakeTransport):
    """What put gives is an input, whatever its size, also once the service has dropped it."""
    handle = transport.run(transport.conversation.put_tensor(3.0))
    assert evaluate(transport, square(), {"x": handle}).outputs["y"] == 9.0
    service.restart()
    assert evaluate(transport, square(), {"x": handle}).outputs["y"] == 9.0
    assert service.calls["PutTensor"] == 2


def test_a_handle_whose_array_changed_is_refused(service: FakeService, transport: FakeTransport):
    """The service must not compute with other numbers than the handle's."""
    x = np.ones(3)
    handle = transport.run(transport.conversation.put_tensor(x))
    x[0] = 2.0
    service.restart()
    with pytest.raises(NotFoundError, match="put the array again"):
        evaluate(transport, square(3), {"x": handle})


def test_a_handle_is_an_array_to_numpy(transport: FakeTransport):
    """NumPy sees the array behind a handle; its shape and dtype are the array's."""
    handle = transport.run(transport.conversation.put_tensor([[1.0, 2.0]]))
    assert isinstance(handle, RemoteTensor)
    assert (handle.shape, handle.ndim) == ((1, 2), 2)
    assert handle.dtype == np.float64
    assert np.array_equal(np.asarray(handle), [[1.0, 2.0]])
    again = transport.run(transport.conversation.put_tensor(handle))
    assert again.hash == handle.hash


def test_seeds_are_inputs_too(service: FakeService, transport: FakeTransport):
    """Numbers, large arrays and handles may be seeds; what comes back is by seed."""
    want = Vjp(("x",), (("y",), ("y",)))
    result = evaluate(
        transport, square(LARGE), {"x": np.ones(LARGE)}, want=want, seeds=[{"y": 1}, {"y": 3}]
    )
    assert result.seed(1)["x"][0] == 6.0
    direction = transport.run(transport.conversation.put_tensor(np.full(LARGE, 0.5)))
    want_hvp = Hvp(("x",), (("x",),))
    result = evaluate(
        transport, square(LARGE), {"x": np.ones(LARGE)}, want=want_hvp, seeds=[{"x": direction}]
    )
    assert result.seed(0)["x"][0] == 1.0
    assert service.calls["PutTensor"] == 2


# --- failures -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ERRORS.values(), ids=ERRORS)
def test_the_client_raises_what_the_server_raised(kind, service, transport):
    """Every class of the tree passes through the wire."""
    service.next("Evaluate", *[kind("what, where, next", field="inputs.x")] * 10)
    with pytest.raises(kind, match="what, where, next") as caught:
        evaluate(transport, square(), {"x": 1.0})
    assert type(caught.value) is kind
    assert caught.value.field == "inputs.x"


def test_unavailability_is_waited_out(service: FakeService, transport: FakeTransport):
    """A service that is away for a moment costs a wait that doubles."""
    service.next("Evaluate", *[ServiceError("away")] * 3)
    assert evaluate(transport, square(), {"x": 2.0}).outputs["y"] == 4.0
    assert transport.pauses_s == pytest.approx([0.0375, 0.075, 0.15])


def test_patience_ends(service: FakeService):
    """After the policy's attempts the caller hears of it."""
    transport = FakeTransport(service, RetryPolicy(attempts=3))
    service.next("Evaluate", *[ServiceError("away")] * 9)
    with pytest.raises(ServiceError, match="away"):
        evaluate(transport, square(), {"x": 2.0})
    assert service.calls["Evaluate"] == 3


def test_retries_end_at_the_deadline(service: FakeService, transport: FakeTransport):
    """No call is made after the deadline; the service has a moment more to say so itself."""
    service.next("Evaluate", *[ServiceError("away")] * 9)
    start_s = transport.now_s
    with pytest.raises(ServiceError, match="away"):
        evaluate(transport, square(), {"x": 2.0}, options={"deadline_s": 0.2})
    assert transport.now_s - start_s < 0.2
    assert transport.timeouts_s == pytest.approx(
        [GRACE_S + left_s for left_s in (0.2, 0.1625, 0.0875)]
    )


def test_a_deadline_spent_on_uploads_is_noticed(service: FakeService, transport: FakeTransport):
    """When sending the data took all the time, the job itself is not asked."""
    put = service.PutTensor

    def slow(chunks):
        transport.now_s += 5.0
        return put(chunks)

    service.PutTensor = slow  # type: ignore[method-assign]
    with pytest.raises(DeadlineExceeded, match="deadline_s"):
        evaluate(transport, square(LARGE), {"x": np.ones(LARGE)}, options={"deadline_s": 1.0})
    assert service.calls == {"PutTensor": 1}


def test_errors_of_the_job_are_not_retried(service: FakeService, transport: FakeTransport):
    """What the request did wrong it would do wrong again."""
    with pytest.raises(InputError, match="'b' is missing"):
        evaluate(transport, product(), {"a": 1.0})
    assert service.calls == {"Evaluate": 1}


@pytest.mark.parametrize("method", ["Evaluate", "PutGraph", "Plan", "GetServerInfo"])
def test_garbage_is_the_services_fault(method: str, service: FakeService, transport):
    """A reply that does not parse is a ServiceError that names the address."""
    service.next(method, b"\xff\xff\xff")
    ask = {
        "Evaluate": lambda: transport.conversation.evaluate(make_job(square(), {"x": 1.0})),
        "PutGraph": lambda: transport.conversation.put_graph(square()),
        "Plan": lambda: transport.conversation.plan(make_job(square(), {})),
        "GetServerInfo": transport.conversation.server_info,
    }[method]
    with pytest.raises(ServiceError, match="fake:1"):
        transport.run(ask())


def test_a_name_of_the_wrong_length_is_the_services_fault(service: FakeService, transport):
    """A graph handle without a fingerprint names nothing."""
    service.next("PutGraph", b"")
    with pytest.raises(ServiceError, match="0 bytes"):
        transport.run(transport.conversation.put_graph(square()))


# --- the rest -------------------------------------------------------------------------------------


def test_results_are_the_callers_own(transport: FakeTransport):
    """Arrays that came may be changed in place."""
    result = evaluate(transport, square(3), {"x": [1, 2, 3]}, gradient="x")
    result.gradients["x"][0] = 7.0
    for array in result.outputs.values():
        array[...] = 0.0


def test_ids_come_back(transport: FakeTransport):
    """A job's id stands in its result."""
    job = make_job(square(), {"x": 1.0}, id="seven")
    assert transport.run(transport.conversation.evaluate(job)).id == "seven"


def test_plan_and_server_info(transport: FakeTransport):
    """Descriptions come as plain data; numbers of a newer server are shown as numbers."""
    plan = transport.run(transport.conversation.plan(make_job(square(), {})))
    assert (plan.split, plan.front_end, str(plan)) == ("none", True, "1 task")
    assert (plan.tasks[0].phase, plan.tasks[0].placement) == ("fused", "77")
    info = transport.run(transport.conversation.server_info())
    assert (info.version, info.ops, info.dtypes) == ("1.2.3", ("add",), ("float64", "99"))
    assert (info.limits.nodes, info.devices[0].placement) == (5, "cpu")


def test_waiting_until_ready(service: FakeService, transport: FakeTransport):
    """It asks until the service answers, and gives up in time with the last reason."""
    service.next("GetServerInfo", *[ServiceError("starting")] * 5)
    transport.run(transport.conversation.wait_until_ready(10.0))
    assert service.calls["GetServerInfo"] == 6
    service.next("GetServerInfo", *[ServiceError("starting")] * 500)
    start_s = transport.now_s
    with pytest.raises(ServiceError, match="starting"):
        transport.run(transport.conversation.wait_until_ready(3.0))
    assert transport.now_s - start_s <= 3.0
