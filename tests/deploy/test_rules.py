"""The configuration and the alert rules, judged by promtool; each alert has a test of its own."""

from __future__ import annotations

import re
import subprocess

import pytest

from pullback_server.metrics import METRICS, MetricsServer, ServiceCounters
from tests.deploy.metric_names import named
from tests.deploy.prometheus_process import PROMETHEUS_FOLDER, configuration, needs_promtool
from tests.deploy.synthetic_load import SyntheticLoad

RULES = (PROMETHEUS_FOLDER / "alerts.yml").read_text("utf-8")
TESTS = (PROMETHEUS_FOLDER / "alerts_test.yml").read_text("utf-8")
ALERTS = re.findall(r"- alert: (\w+)", RULES)


def promtool(*arguments: str, given: bytes | None = None) -> None:
    """Run promtool where the rules are; it has to succeed, and without a warning."""
    done = subprocess.run(
        ["promtool", *arguments],
        cwd=PROMETHEUS_FOLDER,
        input=given,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=60,
        check=False,
    )
    text = done.stdout.decode()
    assert done.returncode == 0, text
    assert "warning" not in text.lower(), text


@needs_promtool
def test_the_configuration_is_valid():
    """Prometheus takes the configuration with its rules."""
    promtool("check", "config", "prometheus.yml")


@needs_promtool
def test_the_rules_are_valid():
    """Every rule parses, none is there twice."""
    promtool("check", "rules", "alerts.yml")


@needs_promtool
def test_the_alerts_fire_when_they_should():
    """On made-up series, each alert fires in trouble and keeps quiet in health."""
    promtool("test", "rules", "alerts_test.yml")


@needs_promtool
def test_the_tests_of_alerts_can_fail(tmp_path):
    """A rule with another threshold is noticed by the tests of alerts."""
    (tmp_path / "alerts.yml").write_text(RULES.replace("> 0.02", "> 0.2"), "utf-8")
    (tmp_path / "alerts_test.yml").write_text(TESTS, "utf-8")
    with pytest.raises(AssertionError, match="PullbackServerErrors"):
        promtool("test", "rules", str(tmp_path / "alerts_test.yml"))


@needs_promtool
def test_the_exposition_is_clean():
    """What a server exposes passes Prometheus's own lint of metrics."""
    counters = ServiceCounters()
    SyntheticLoad(counters)()
    promtool("check", "metrics", given=_exposed(counters))


def _exposed(counters: ServiceCounters) -> bytes:
    from urllib.request import urlopen

    with MetricsServer(counters, port=0) as server, urlopen(f"{server.url}/metrics") as reply:
        text: bytes = reply.read()
    return text


def _tested(name: str) -> list[bool]:
    """For each test of an alert, whether it expects it to fire."""
    inline = rf"^ +- {{eval_time: \w+, alertname: {name}}}$"
    firing = rf"alertname: {name}\n +exp_alerts:\n +- exp_labels"
    return [False] * len(re.findall(inline, TESTS, re.M)) + [True] * len(re.findall(firing, TESTS))


@pytest.mark.parametrize("name", ALERTS)
def test_every_alert_is_tested_both_ways(name):
    """A new alert comes with a case where it fires and one where it does not."""
    assert set(_tested(name)) == {False, True}


@pytest.mark.parametrize("block", RULES.split("- alert: ")[1:], ids=ALERTS)
def test_every_alert_says_what_to_do(block):
    """An alert has a severity, a summary naming the server, and a description."""
    assert re.search(r"severity: (critical|warning)\b", block)
    assert re.search(r'summary: ".*\$labels\.instance.*"', block)
    assert "description:" in block


def test_alerts_ask_only_for_metrics_there_are():
    """Rules and their tests name rows of the table, `up`, and nothing else."""
    known = {metric.name for metric in METRICS}
    assert named(RULES) <= known
    assert named(TESTS) <= known
    assert len(named(RULES)) > 5


def test_the_configuration_used_by_tests_is_the_deployment_s():
    """What the tests of a real Prometheus run is this file, but for target and pace."""
    text = configuration("127.0.0.1:1")
    assert "job_name: pullback" in text
    assert "127.0.0.1:1" in text
    assert str(PROMETHEUS_FOLDER / "alerts.yml") in text
