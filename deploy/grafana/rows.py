"""The dashboard as a table: a row a panel, under headings."""

from __future__ import annotations

from deploy.grafana.panel import RANGE, SELECT, Panel, gauge, quantile, rate, share, stat

JOBS, SECONDS = "pullback_jobs_total", "pullback_job_seconds"
FAILED = 'outcome!="ok"'
TOTAL, PARTS = 'phase="total"', 'phase!="total"'
COMPUTED = 'phase=~"forward|backward|fused|reducing"'
HITS = rate("pullback_program_cache_hits_total")
MISSES = rate("pullback_program_cache_misses_total")
BUSY = "pullback_worker_busy_seconds_total"
ALIVE = 'state!="starting"'

ROWS: tuple[tuple[str, tuple[Panel, ...]], ...] = (
    (
        "Now",
        (
            stat(
                "Jobs",
                "Jobs answered a second, whatever came of them.",
                rate(JOBS),
                "suffix: jobs/s",
            ),
            stat(
                "Failed",
                "Part of the answered jobs that failed, by the client's fault or the server's.",
                f"{rate(JOBS, where=FAILED)} / {rate(JOBS)}",
                "percentunit",
                steps=((0.01, "orange"), (0.05, "red")),
            ),
            stat(
                "Latency, median",
                "From arrival to answer, of successful jobs.",
                quantile(0.5, SECONDS, where=TOTAL),
                "s",
            ),
            stat(
                "Latency, p99",
                "One successful job in a hundred takes longer than this.",
                quantile(0.99, SECONDS, where=TOTAL),
                "s",
            ),
            stat(
                "Waiting",
                "Jobs that wait for a thread of the front end or for a worker.",
                gauge("pullback_queue_depth_jobs"),
                "short",
                steps=((100, "orange"), (1000, "red")),
            ),
            stat(
                "In flight",
                "Jobs taken in and not yet answered.",
                gauge("pullback_jobs_in_flight"),
                "short",
            ),
            stat(
                "Workers busy",
                "Part of the workers' time spent in tasks.",
                f"{rate(BUSY)} / ({gauge('pullback_workers', where=ALIVE)} > 0)",
                "percentunit",
                steps=((0.8, "orange"), (0.95, "red")),
                maximum=1.0,
            ),
            stat(
                "Dispatcher",
                "Whether the process that owns the workers answers; small jobs run without it.",
                f"min(pullback_dispatcher_up{{{SELECT}}})",
                "none",
                names={"0": ("down", "red"), "1": ("up", "green")},
            ),
        ),
    ),
    (
        "Jobs",
        (
            Panel(
                "Jobs by what was wanted",
                "Jobs answered a second by want.",
                ((rate(JOBS, "want"), "{{want}}"),),
                "suffix: jobs/s",
                stack="normal",
            ),
            Panel(
                "Jobs by how they ended",
                "Jobs answered a second by outcome: ok, or the gRPC status of the error.",
                ((rate(JOBS, "outcome"), "{{outcome}}"),),
                "suffix: jobs/s",
                stack="normal",
            ),
            Panel(
                "Jobs by want and outcome",
                "The same by both; only what occurs is drawn.",
                ((f"{rate(JOBS, 'want, outcome')} > 0", "{{want}}, {{outcome}}"),),
                "suffix: jobs/s",
            ),
            Panel(
                "Jobs in flight",
                "Jobs taken in and not yet answered, by state.",
                ((gauge("pullback_jobs_in_flight", "state"), "{{state}}"),),
                "short",
                stack="normal",
            ),
            Panel(
                "Queue depth and tasks",
                "Jobs that wait, and tasks that workers have at hand.",
                (
                    (gauge("pullback_queue_depth_jobs"), "waiting jobs"),
                    (gauge("pullback_in_flight_tasks"), "tasks in flight"),
                ),
                "short",
            ),
            Panel(
                "Jobs in a batch",
                "Size of the batches that streams bring.",
                (
                    (quantile(0.5, "pullback_batch_jobs"), "median"),
                    (quantile(0.99, "pullback_batch_jobs"), "p99"),
                ),
                "short",
            ),
        ),
    ),
    (
        "Where the time goes",
        (
            Panel(
                "Latency",
                "From arrival to answer, of successful jobs.",
                (
                    (quantile(0.5, SECONDS, where=TOTAL), "median"),
                    (quantile(0.9, SECONDS, where=TOTAL), "p90"),
                    (quantile(0.99, SECONDS, where=TOTAL), "p99"),
                ),
                "s",
            ),
            Panel(
                "Median by phase",
                "Of the jobs that had the phase.",
                ((quantile(0.5, SECONDS, "phase", PARTS), "{{phase}}"),),
                "s",
            ),
            Panel(
                "p99 by phase",
                "Of the jobs that had the phase.",
                ((quantile(0.99, SECONDS, "phase", PARTS), "{{phase}}"),),
                "s",
            ),
            Panel(
                "Forward, backward, reduce",
                "How computing time divides; fused is forward and backward in one program.",
                ((share(SECONDS, "phase", COMPUTED), "{{phase}}"),),
                "percentunit",
                stack="normal",
                maximum=1.0,
            ),
            Panel(
                "All phases",
                "How the time of jobs divides over all their phases.",
                ((share(SECONDS, "phase", PARTS), "{{phase}}"),),
                "percentunit",
                stack="normal",
                maximum=1.0,
            ),
            Panel(
                "Latency distribution",
                "How many jobs took how long; brighter is more.",
                ((rate(f"{SECONDS}_bucket", "le", TOTAL), "{{le}}"),),
                "s",
                kind="heatmap",
            ),
        ),
    ),
    (
        "Work done",
        (
            Panel(
                "Adjoints and nodes",
                "Node adjoints and graph nodes evaluated a second by successful jobs.",
                (
                    (rate("pullback_adjoint_evaluations_total"), "adjoint evaluations"),
                    (rate("pullback_nodes_total"), "nodes"),
                ),
                "si:/s",
            ),
            Panel(
                "Arithmetic",
                "Floating-point operations a second, as the operator table counts them.",
                ((rate("pullback_flops_total"), "FLOP/s"),),
                "flops",
            ),
            Panel(
                "Bytes",
                "Messages received and sent, by size.",
                (
                    (rate("pullback_received_bytes_total"), "received"),
                    (rate("pullback_sent_bytes_total"), "sent"),
                ),
                "Bps",
            ),
        ),
    ),
    (
        "Workers and programs",
        (
            Panel(
                "Worker utilisation",
                "Part of the workers' time spent in tasks, by kind.",
                (
                    (
                        f"{rate(BUSY, 'kind')} / ({gauge('pullback_workers', 'kind', ALIVE)} > 0)",
                        "{{kind}}",
                    ),
                ),
                "percentunit",
                steps=((0.8, "orange"), (0.95, "red")),
                maximum=1.0,
            ),
            Panel(
                "Workers",
                "By kind and state.",
                ((gauge("pullback_workers", "kind, state"), "{{kind}}, {{state}}"),),
                "short",
                stack="normal",
            ),
            Panel(
                "Workers wanted",
                "How many there should be for what runs and waits, between the least and the most.",
                ((gauge("pullback_wanted_workers", "kind"), "{{kind}}"),),
                "short",
            ),
            Panel(
                "Tasks",
                "Tasks that workers finished a second.",
                ((rate("pullback_tasks_total"), "tasks"),),
                "suffix: tasks/s",
            ),
            Panel(
                "Program cache hit ratio",
                "Part of the programs that were found compiled.",
                ((f"{HITS} / ({HITS} + {MISSES})", "hits"),),
                "percentunit",
                maximum=1.0,
            ),
            Panel(
                "Compilations",
                "Programs compiled a second, by executor.",
                ((rate("pullback_compile_seconds_count", "executor"), "{{executor}}"),),
                "suffix: /s",
            ),
            Panel(
                "Graphs tried on XLA",
                "Graphs compiled in the background a second, by how XLA compared with NumPy.",
                ((rate("pullback_promotions_total", "result"), "{{result}}"),),
                "suffix: /s",
            ),
            Panel(
                "Compile time, p99",
                "One compilation in a hundred takes longer, by executor.",
                ((quantile(0.99, "pullback_compile_seconds", "executor"), "{{executor}}"),),
                "s",
            ),
        ),
    ),
    (
        "Errors and incidents",
        (
            Panel(
                "Failed jobs by reason",
                "Jobs answered with an error a second, by gRPC status.",
                ((rate(JOBS, "outcome", FAILED), "{{outcome}}"),),
                "suffix: jobs/s",
                stack="normal",
            ),
            Panel(
                "Rejected requests by reason",
                "Requests turned away before they became jobs, and failed calls that carry none.",
                ((rate("pullback_rejected_requests_total", "reason"), "{{reason}}"),),
                "suffix: requests/s",
                stack="normal",
            ),
            Panel(
                "Wasted worker time",
                "Workers' time without a result: cancelled, done by another first, or lost.",
                ((rate("pullback_wasted_seconds_total", "reason"), "{{reason}}"),),
                "none",
                stack="normal",
            ),
            Panel(
                "Arrays moved",
                "What workers were given to read or handed back, and what of it crossed machines.",
                (
                    (rate("pullback_moved_bytes_total"), "to and from workers"),
                    (rate("pullback_network_bytes_total"), "between machines"),
                ),
                "Bps",
            ),
            Panel(
                "Time to stop",
                "From when a job was called off, or its deadline, until none of its tasks ran.",
                (
                    (quantile(0.5, "pullback_stop_seconds"), "median"),
                    (quantile(0.99, "pullback_stop_seconds"), "p99"),
                ),
                "s",
            ),
            Panel(
                "Retries and losses",
                "Tasks run again or tried twice, workers lost and dispatchers restarted, a second.",
                (
                    (rate("pullback_task_retries_total"), "task retries"),
                    (rate("pullback_speculated_tasks_total"), "tasks tried twice"),
                    (rate("pullback_workers_lost_total"), "workers lost"),
                    (rate("pullback_workers_killed_total"), "workers killed to stop a task"),
                    (rate("pullback_dispatcher_restarts_total"), "dispatcher restarts"),
                ),
                "suffix: /s",
            ),
        ),
    ),
    (
        "Process of the front end",
        (
            Panel(
                "CPU",
                "Cores in use by the front end; workers are not in it.",
                ((f"rate(process_cpu_seconds_total{{{SELECT}}}{RANGE})", "{{instance}}"),),
                "none",
            ),
            Panel(
                "Memory",
                "Resident memory of the front end; workers are not in it.",
                ((f"process_resident_memory_bytes{{{SELECT}}}", "{{instance}}"),),
                "bytes",
            ),
            Panel(
                "Versions",
                "What serves where.",
                (
                    (
                        f"pullback_build_info{{{SELECT}}}",
                        "{{instance}}: {{version}}, Python {{python}}, Ray {{ray}}",
                    ),
                ),
                "none",
                kind="stat",
            ),
        ),
    ),
)
