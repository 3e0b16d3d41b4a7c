"""`pullback eval` in this process: what it takes, what it prints, how it fails."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.sparse

from pullback_graph.codec import encode_graph
from pullback_graph.text import parse
from tests.cli.running import PRODUCT, SQUARES, run


@pytest.fixture
def squares(tmp_path: Path) -> Path:
    """A file with the sum of squares of three numbers."""
    path = tmp_path / "squares.graph"
    path.write_text(SQUARES)
    return path


@pytest.fixture
def product(tmp_path: Path) -> Path:
    """A file with the product of two numbers, and an integer input beside them."""
    path = tmp_path / "product.graph"
    path.write_text(PRODUCT)
    return path


def test_value_and_gradient(squares: Path):
    """The value, then the gradient, headed by what they are."""
    done = run("eval", squares, "--input", "x=[1, 2, 3]", "--gradient", "x", "--local")
    assert done == (0, "y = 14.0\nd y / d x: float64[3] =\n[2., 4., 6.]\n", "")


def test_json(squares: Path):
    """One object, which holds the outputs, the gradients and the metrics."""
    done = run("eval", squares, "-i", "x=[1,2,3]", "-g", "x", "--local", "--json")
    assert done.status == 0
    assert done.json["outputs"] == {"y": 14.0}
    assert done.json["gradients"] == {"x": [2.0, 4.0, 6.0]}
    assert done.json["metrics"]["executor"] == "numpy"


def test_what_is_not_finite_is_a_word_in_json(squares: Path):
    """JSON has no NaN: the words go out as they may come in."""
    done = run("eval", squares, "-i", 'x=["NaN", "-Infinity", 1]', "-g", "x", "--local", "--json")
    assert done.json["gradients"] == {"x": ["NaN", "-Infinity", 2.0]}


ROTATION = """graph(z: complex128[2], w: complex64[]) {
  %2 = multiply(z, 0.0+1.0j)
  %3 = abs(w)
  return y = %2, size = %3
}"""


def test_complex_numbers_are_text_in_json(tmp_path: Path):
    """They come in as they go out: a real part, a sign, an imaginary part and j."""
    path = tmp_path / "rotation.graph"
    path.write_text(ROTATION)
    inputs = ["-i", 'z=["1.0-2.5j", 3]', "-i", "w=3-4j"]
    done = run("eval", path, *inputs, "--local", "--json")
    assert done.json["outputs"] == {"y": ["2.5+1.0j", "0.0+3.0j"], "size": 5.0}
    again = run("eval", path, "-i", 'z=["2.5+1.0j", "nan-infj"]', "-i", "w=0", "--local", "--json")
    assert again.json["outputs"]["y"][0] == "-1.0+2.5j"
    shown = run("eval", path, *inputs, "--local")
    assert "complex128[2]" in shown.output


@pytest.mark.parametrize("text", ["1+2i", "1+j2", "[[1, 2]]j", "one", "1,2j"])
def test_what_is_no_complex_number_is_named(tmp_path: Path, text: str):
    """The error says how a complex number is written."""
    path = tmp_path / "rotation.graph"
    path.write_text(ROTATION)
    done = run("eval", path, "-i", "z=[1, 2]", "-i", f"w={text}", "--local")
    assert done.status == 2
    assert 'such as "1.0-2.5j"' in done.errors or "complex128" in done.errors


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--want", "hessian"], [[2.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, 0.0, 2.0]]),
        (["--want", "jacobian"], [2.0, 4.0, 6.0]),
        (["--want", "vjp", "--seed", "y=10"], [20.0, 40.0, 60.0]),
        (["--want", "jvp", "--seed", "x=[1, 0, 0]"], 2.0),
        (["--want", "hvp", "--wrt", "x", "--seed", "x=[1, 0, 0]"], [2.0, 0.0, 0.0]),
    ],
)
def test_every_want(squares: Path, flags: list[str], expected: object):
    """Derivatives of every kind; without --wrt, by all floating inputs."""
    done = run("eval", squares, "-i", "x=[1,2,3]", *flags, "--local", "--json")
    (derivative,) = done.json["derivatives"]
    assert derivative["value"] == expected


def test_an_integer_input_is_not_differentiated_unasked(product: Path):
    """Without --wrt, the inputs that carry derivatives are meant."""
    inputs = ["-i", "a=2", "-i", "b=3", "-i", "n=1"]
    done = run("eval", product, *inputs, "--want", "gradient", "--local", "--json")
    assert done.json["gradients"] == {"a": 3.0, "b": 2.0}
    refused = run("eval", product, *inputs, "-g", "n", "--local")
    assert refused.status == 2
    assert "NotDifferentiable" in refused.errors


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".json", ".csv", ".txt"])
def test_inputs_from_files(squares: Path, tmp_path: Path, suffix: str):
    """@FILE is the array in it."""
    path = tmp_path / f"x{suffix}"
    array = np.asarray([1.0, 2.0, 3.0])
    {
        ".npy": lambda: np.save(path, array),
        ".npz": lambda: np.savez(path, x=array, other=array),
        ".json": lambda: path.write_text("[1, 2, 3]"),
        ".csv": lambda: path.write_text("1,2,3\n"),
        ".txt": lambda: path.write_text("1\n2\n3\n"),
    }[suffix]()
    key = ":x" if suffix == ".npz" else ""
    done = run("eval", squares, "-i", f"x=@{path}{key}", "--local")
    assert (done.status, done.output) == (0, "y = 14.0\n")


@pytest.mark.parametrize("form", ["text", "message"])
def test_graphs_from_standard_input(form: str, monkeypatch: pytest.MonkeyPatch):
    """`-` reads either form of a graph from stdin."""
    data = SQUARES.encode() if form == "text" else encode_graph(parse(SQUARES)).SerializeToString()

    class Stdin:
        class buffer:  # noqa: N801  (as the stream has it)
            read = staticmethod(lambda: data)

    monkeypatch.setattr("sys.stdin", Stdin)
    assert run("eval", "-", "-i", "x=[1,2,3]", "--local").output == "y = 14.0\n"


def test_arrays_are_saved(squares: Path, tmp_path: Path):
    """--output keeps every array under its name."""
    path = tmp_path / "out.npz"
    run("eval", squares, "-i", "x=[1,2,3]", "-g", "x", "--local", "-o", path)
    with np.load(path) as saved:
        assert {name: saved[name].tolist() for name in saved} == {
            "outputs/y": 14.0,
            "gradient/y/x": [2.0, 4.0, 6.0],
        }


def test_metrics_go_to_standard_error(squares: Path):
    """--metrics adds a line without disturbing the output."""
    done = run("eval", squares, "-i", "x=[1,2,3]", "--local", "--metrics")
    assert done.output == "y = 14.0\n"
    assert "2 nodes" in done.errors


def test_options(squares: Path):
    """--option goes to the job; an unknown one is refused."""
    done = run("eval", squares, "-i", "x=[1,2,3]", "--local", "--option", "memory_cap_bytes=1")
    assert done.status == 2
    assert "LimitExceeded" in done.errors
    done = run("eval", squares, "-i", "x=[1,2,3]", "--local", "--option", "speed=9")
    assert done.status == 2
    assert "'speed'" in done.errors


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-i", "x"], "NAME=VALUE"),
        (["-i", "x=[1,2]"], "float64[3]"),
        (["-i", "x=one"], "'one'"),
        (["-i", "x=[1,2,[3]]"], "'x'"),
        (["-i", "x=@missing.npy"], "missing.npy"),
        (["-i", "x=@picture.png"], ".npz"),
        (["-i", "x=[1,2,3]", "-i", "x=[1,2,3]"], "twice"),
        (["-i", "x=[1,2,3]", "-i", "z=1"], "'z'"),
        ([], "'x' is missing"),
        (["-i", "x=[1,2,3]", "-g", "x", "--want", "hessian"], "not both"),
        (["-i", "x=[1,2,3]", "--want", "jvp"], "seed"),
        (["-i", "x=[1,2,3]", "--seed", "x=1"], "no seed"),
        (["-i", "x=[1,2,3]", "-g", "q"], "'q'"),
        (["-i", "x=[1,2,3]", "--want", "gradient", "--of", "y", "--of", "z"], "one output"),
        (["-i", "x=[1,2,3]", "--server", "localhost:1"], "not both"),
    ],
)
def test_the_callers_faults_are_one_line_and_status_2(
    squares: Path, arguments: list[str], words: str
):
    """A clear line on standard error, nothing on standard output, no traceback."""
    done = run("eval", squares, *arguments, "--local")
    assert (done.status, done.output) == (2, "")
    assert words in done.errors
    assert done.errors.startswith("pullback: ")
    assert done.errors.count("\n") == 1


@pytest.mark.parametrize("content", [b"", b"graph(", b"\x00\x01nonsense", b"\xff\xfe", None])
def test_files_that_hold_no_graph(tmp_path: Path, content: bytes | None):
    """Neither form, or no file at all."""
    path = tmp_path / "broken.graph"
    if content is not None:
        path.write_bytes(content)
    done = run("eval", path, "--local")
    assert (done.status, done.output) == (2, "")
    assert done.errors.startswith("pullback: ")


def test_a_pickle_is_not_run(squares: Path, tmp_path: Path):
    """Arrays of objects are refused, not unpickled."""
    path = tmp_path / "evil.npy"
    np.save(path, np.asarray([{"a": 1}], object), allow_pickle=True)
    done = run("eval", squares, "-i", f"x=@{path}", "--local")
    assert done.status == 2
    assert "evil.npy" in done.errors


def test_a_failed_computation_is_status_1(tmp_path: Path):
    """What is no fault of the call ends with 1."""
    path = tmp_path / "log.graph"
    path.write_text("graph(x: float64[]) { %1 = log(x) return y = %1 }")
    done = run("eval", path, "-i", "x=-1", "--local", "--option", "check=finite")
    assert done.status == 1
    assert "NonFiniteError" in done.errors


def test_the_command_line_prints_places(squares: Path, tmp_path: Path):
    """For people a place a line, for programs the rows of the matrix, for NumPy its arrays."""
    flags = ("--input", "x=[1, 2, 3]", "--want", "hessian", "--sparse", "--local")
    done = run("eval", squares, *flags, "--metrics")
    assert done.status == 0
    assert "d2 y / d x d x: float64[3,3], 3 places =" in done.output
    assert "  (1, 1) 2.0" in done.output
    assert "mode sparse forward over reverse: 1 colour(s)" in done.errors
    npz = tmp_path / "out.npz"
    done = run("eval", squares, *flags, "--json", "--output", npz)
    assert done.json["derivatives"][0]["sparse"] == {
        "shape": [3, 3],
        "row_starts": [0, 1, 2, 3],
        "columns": [0, 1, 2],
        "values": [2.0, 2.0, 2.0],
    }
    with np.load(npz) as arrays:
        parts = [arrays[f"hessian/y/x/x/{name}"] for name in ("data", "indices", "indptr")]
        shape = tuple(arrays["hessian/y/x/x/shape"])
    matrix = scipy.sparse.csr_array((parts[0], parts[1], parts[2]), shape=shape)
    np.testing.assert_array_equal(matrix.toarray(), 2 * np.eye(3))


def test_the_command_line_refuses_what_is_never_sparse(squares: Path):
    """A sparse gradient is an error that says what can be had."""
    done = run("eval", squares, "--input", "x=[1, 2, 3]", "--gradient", "x", "--sparse", "--local")
    assert done.status != 0
    assert "ask for a jacobian or hessian" in done.errors
