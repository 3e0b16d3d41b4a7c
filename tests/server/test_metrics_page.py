"""The live page's script, run by node on snapshots of a made-up load: its numbers are right."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pullback_server.metrics import ServiceCounters, labels
from pullback_server.metrics.live_page import live_page
from pullback_server.metrics.snapshot import snapshot
from tests.deploy.synthetic_load import SyntheticLoad

NODE = shutil.which("node")
pytestmark = pytest.mark.skipif(NODE is None, reason="node is not installed to run the script")

BROWSER = """
const elements = {};
const element_ = () => ({ textContent: "", innerHTML: "", className: "", clientWidth: 600 });
globalThis.document = {
  hidden: false,
  getElementById: (id) => (elements[id] ??= element_()),
  querySelector: (name) => (elements[name] ??= element_()),
};
let next = null;
globalThis.setTimeout = (call) => { next = call; };
const replies = JSON.parse(require("fs").readFileSync(0, "utf8"));
globalThis.fetch = async () => {
  const reply = replies.shift();
  if (!reply) throw new Error("connection refused");
  return { ok: true, json: async () => reply };
};
"""
AFTERWARDS = """
(async () => {
  for (let i = 0; i < REPLIES; i++) {
    while (!next) await null;
    const call = next;
    next = null;
    call();
  }
  while (!next) await null;
  process.stdout.write(JSON.stringify(elements));
})();
"""


def _script() -> str:
    (script,) = re.findall(r"<script>(.*)</script>", live_page().decode(), flags=re.DOTALL)
    return str(script)


def _node(program: str, given: Any) -> Any:
    """What a program prints, as JSON, given JSON on its standard input."""
    done = subprocess.run(
        [str(NODE), "-e", program],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def _shown(replies: list[Any], polls: int) -> dict[str, str]:
    """What the page shows after so many polls, as text by element, tags and spaces squeezed."""
    program = BROWSER + _script() + AFTERWARDS.replace("REPLIES", str(polls - 1))
    elements = _node(program, replies)
    return {
        name: " ".join(re.sub(r"<[^>]*>", " ", e["innerHTML"] or e["textContent"]).split())
        for name, e in elements.items()
    }


def _snapshots(bouts: int) -> list[Any]:
    """A snapshot a second, with a bout of load between them."""
    counters = ServiceCounters()
    load = SyntheticLoad(counters)
    taken = []
    for second in range(bouts):
        load()
        data = snapshot(counters.read(), time_s=50.0 + second, uptime_s=second + 1.0, unready="")
        taken.append(json.loads(data))
    return taken


def test_the_page_shows_rates_latencies_and_errors():
    """Each figure on the page is the load's own, over the time between the snapshots."""
    shown = _shown(_snapshots(8), polls=8)
    wants, failures = len(labels.WANTS), len(labels.OUTCOMES) - 1
    assert f"Jobs {wants * (3 + failures)} /s" in shown["tiles"]
    assert f"Errors {wants * failures} /s" in shown["tiles"]
    assert "Waiting 3 jobs in the queue" in shown["tiles"]
    assert "Workers busy 75 % 3 of 4" in shown["tiles"]
    assert "Program cache hits 75 %" in shown["tiles"]
    assert f"Received {wants * 3 * 900 / 1000:.1f} kB/s" in shown["throughput"]
    assert "Tasks on workers 12 /s" in shown["throughput"]
    assert f"gradient {3 + failures} /s" in shown["by-want"]
    assert f"internal {wants} /s" in shown["by-outcome"]
    assert "Tasks run again 1 /s 8" in shown["errors"]
    assert "queue full turned away 1 /s 8" in shown["errors"]
    assert "ready dispatcher up up 8 s" in shown["status"]
    assert shown["notice"] == ""


def test_the_page_shares_time_by_phase():
    """Shares are of the seconds of all phases; every phase but the total has a line."""
    shown = _shown(_snapshots(3), polls=3)["phases"]
    seconds = 2e-3 + 4e-5 + 1e-3 + 4e-4 + 0.02 + 0.05 + 2 * 8e-5 + 4e-3 + 3e-3
    assert f"backward {100 * 0.05 / seconds:.3g} %" in shown
    assert all(phase in shown for phase in labels.PHASES)


def test_an_idle_server_says_so():
    """Without a job there are no figures made up, and the page says what to do."""
    idle = json.loads(
        snapshot(ServiceCounters().read(), time_s=9.0, uptime_s=1.0, unready="starting")
    )
    shown = _shown([idle, {**idle, "time_s": 10.0, "uptime_s": 2.0}], polls=2)
    assert "Jobs 0 /s" in shown["tiles"]
    assert "Latency, median –" in shown["tiles"]
    assert "not ready: starting" in shown["status"]
    assert "no dispatcher" in shown["status"]
    assert "No job has come in yet" in shown["notice"]
    assert "NaN" not in " ".join(shown.values())


def test_a_server_that_is_gone_is_said_to_be():
    """A failed poll shows why, and the page goes on asking."""
    shown = _shown(_snapshots(2), polls=4)
    assert "No answer from the server (connection refused)" in shown["notice"]


def test_a_restarted_server_begins_a_new_history():
    """Totals that fell with a new process make no negative rates."""
    before, after = _snapshots(6), _snapshots(2)
    shown = _shown([*before, *after], polls=8)
    assert "-" not in re.sub(r"[a-z]-[a-z]", "", shown["tiles"])
    assert "up 2 s" in shown["status"]


def _prometheus_quantile(q: float, bounds: list[float], counts: list[int]) -> float | None:
    """As Prometheus's histogram_quantile: linear within the bucket that holds the rank."""
    total, seen = sum(counts), 0
    if total == 0:
        return None
    for i, bound in enumerate(bounds):
        if seen + counts[i] >= q * total and counts[i] > 0:
            low = bounds[i - 1] if i else 0.0
            return low + (bound - low) * (q * total - seen) / counts[i]
        seen += counts[i]
    return bounds[-1]


@settings(max_examples=10)  # each starts node
@given(st.lists(st.lists(st.integers(0, 50), min_size=4, max_size=4), min_size=1, max_size=30))
def test_quantiles_are_prometheus_s(histograms: list[list[int]]):
    """The page's quantiles are those that a Prometheus query over the same buckets gives."""
    bounds = [0.1, 0.5, 2.0]
    cases: list[Any] = [
        {"q": q, "h": {"bounds": bounds, "counts": counts, "count": sum(counts)}}
        for counts in histograms
        for q in (0.5, 0.9, 0.99)
    ]
    quantiles = _script().split("const ratio")[0]
    program = quantiles + (
        'const cases = JSON.parse(require("fs").readFileSync(0, "utf8"));'
        "process.stdout.write(JSON.stringify(cases.map(({ q, h }) => quantile(q, h))));"
    )
    expected = [_prometheus_quantile(c["q"], bounds, c["h"]["counts"]) for c in cases]
    assert _node(program, cases) == [None if e is None else pytest.approx(e) for e in expected]
