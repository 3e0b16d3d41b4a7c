// The page: polls /snapshot.json, keeps five minutes of it, and draws its tables of figures.

const POLL_S = 1, RATE_S = 10, LATENCY_S = 60, SHOWN_S = 300;
const css = (name) => `var(--${name})`;
const element = (id) => document.getElementById(id);
const TOTAL = { phase: is("total") };

const COLORS = {
  value: css("blue"), gradient: css("teal"), vjp: css("green"), jvp: css("violet"), hvp: css("amber"),
  jacobian: css("rose"), hessian: css("red"), unknown: css("grey"),
  ok: css("green"), cancelled: css("grey"), deadline_exceeded: css("amber"), internal: css("red"),
  invalid_argument: css("violet"), not_found: css("blue"), resource_exhausted: css("rose"),
  unavailable: css("teal"), unimplemented: css("blue"),
  queued: css("grey"), planning: css("violet"), compiling: css("amber"), forward: css("blue"),
  backward: css("rose"), fused: css("teal"), reducing: css("green"), transferring: css("red"),
  queue_full: css("amber"), stopping: css("grey"), other: css("grey"),
};
const PHASES = {
  queued: "waited", planning: "differentiated, split", compiling: "", forward: "", backward: "",
  fused: "forward and backward in one", reducing: "adjoints summed", transferring: "tensors moved",
};

// A tile: its figure from the last seconds (r), the last minute (m) and the newest snapshot (s).
const TILES = [
  { title: "Jobs", unit: perSecond, color: "blue", figure: ({ r }) => r.rate("pullback_jobs_total"),
    note: ({ s }) => `${words(scaled(total(s, "pullback_jobs_total"), ""))} since start` },
  { title: "Latency, median", unit: duration, color: "violet",
    figure: ({ m }) => quantile(0.5, m.histogram("pullback_job_seconds", TOTAL)), note: () => "arrival to answer" },
  { title: "Latency, p99", unit: duration, color: "violet",
    figure: ({ m }) => quantile(0.99, m.histogram("pullback_job_seconds", TOTAL)), note: () => "1 in 100 takes longer" },
  { title: "Errors", unit: perSecond, color: "red", figure: ({ r }) => errorRate(r), bad: (x) => x > 0,
    note: ({ r }) => `${words(percent(ratio(errorRate(r), r.rate("pullback_jobs_total"))))} of jobs` },
  { title: "Waiting", unit: count, color: "amber", figure: ({ s }) => total(s, "pullback_queue_depth_jobs"),
    note: () => "jobs in the queue" },
  { title: "In flight", unit: count, color: "teal", figure: ({ s }) => total(s, "pullback_jobs_in_flight"),
    note: ({ s }) => `jobs; ${total(s, "pullback_in_flight_tasks")} tasks on workers` },
  { title: "Workers busy", unit: percent, color: "green", figure: ({ s }) => ratio(workers(s, "busy"), workers(s)), note: ({ s }) => workerNote(s) },
  { title: "Program cache hits", unit: percent, color: "blue", figure: ({ m }) => hitRatio(m), note: () => "programs found compiled" },
];
const THROUGHPUT = [
  ["Adjoints", perSecond, "rose", "pullback_adjoint_evaluations_total"],
  ["Graph nodes", perSecond, "blue", "pullback_nodes_total"],
  ["Arithmetic", flopsPerSecond, "green", "pullback_flops_total"],
  ["Tasks on workers", perSecond, "teal", "pullback_tasks_total"],
  ["Received", bytesPerSecond, "violet", "pullback_received_bytes_total"],
  ["Sent", bytesPerSecond, "amber", "pullback_sent_bytes_total"],
].map(([title, unit, color, name]) => ({ title, unit, color, figure: ({ r }) => r.rate(name), small: true }));
const INCIDENTS = [
  ["Tasks run again", "pullback_task_retries_total"],
  ["Workers lost", "pullback_workers_lost_total"],
  ["Dispatcher restarts", "pullback_dispatcher_restarts_total"],
];

const errorRate = (r) => r.rate("pullback_jobs_total", { outcome: not("ok") });

function workers(s, state) {
  return total(s, "pullback_workers", state ? { state: is(state) } : { state: not("starting") });
}

function workerNote(s) {
  if (!select(s, "pullback_dispatcher_up").length) return "none: jobs run in the server";
  const starting = total(s, "pullback_workers", { state: is("starting") });
  return `${workers(s, "busy")} of ${workers(s)}` + (starting ? `; ${starting} starting` : "");
}

function hitRatio(m) {
  const hits = m.growth("pullback_program_cache_hits_total");
  return ratio(hits, hits + m.growth("pullback_program_cache_misses_total"));
}

// --- history ----------------------------------------------------------------------------------

let snapshots = [];
let frames = [];

// The span of about `seconds` that ends now; shorter while there is less history.
function spanOf(seconds) {
  const now = snapshots[snapshots.length - 1];
  return new Span(snapshots.find((s) => s.time_s >= now.time_s - seconds - POLL_S / 2), now);
}

function take(s) {
  const last = snapshots[snapshots.length - 1];
  if (last && s.uptime_s < last.uptime_s) { snapshots = []; frames = []; }
  snapshots = [...snapshots.filter((old) => old.time_s > s.time_s - LATENCY_S - 5), s];
  const view = { s, r: spanOf(RATE_S), m: spanOf(LATENCY_S) };
  const frame = { t: s.time_s, figures: {}, wants: view.r.rates("pullback_jobs_total", "want"),
    outcomes: view.r.rates("pullback_jobs_total", "outcome") };
  for (const tile of [...TILES, ...THROUGHPUT]) frame.figures[tile.title] = tile.figure(view);
  frames = [...frames.filter((old) => old.t > s.time_s - SHOWN_S), frame];
  return view;
}

// --- drawing ----------------------------------------------------------------------------------

function tileHtml(tile, view) {
  const x = frames[frames.length - 1].figures[tile.title];
  const [figure, unit] = tile.unit(x);
  const series = frames.map(({ t, figures }) => [t, figures[tile.title]]);
  const classes = `tile${tile.small ? " small" : ""}${tile.bad && tile.bad(x) ? " bad" : ""}`;
  const note = tile.note ? `<p class="note">${escaped(tile.note(view))}</p>` : "";
  return `<article class="${classes}"><h2>${escaped(tile.title)}</h2>
    <p class="figure">${escaped(figure)} <small>${escaped(unit)}</small></p>${note}
    ${sparkline(series, view.s.time_s, SHOWN_S, css(tile.color))}</article>`;
}

function chartHtml(title, part, view, width) {
  const known = frames.filter((f) => Object.values(f[part]).every((rate) => rate !== null));
  const now = frames[frames.length - 1][part];
  const seen = Object.keys(now).filter((name) => known.some((f) => f[part][name] > 0));
  const rows = seen.sort((a, b) => (a === "ok") - (b === "ok")).map((name) => ({ // what is rare lies below
    name: name.replaceAll("_", " "), color: COLORS[name] || css("grey"),
    series: known.map((f) => [f.t, f[part][name]]), figure: words(perSecond(now[name])),
  }));
  return `<h2>${escaped(title)}</h2>${stackedChart(rows, { now: view.s.time_s, span: SHOWN_S, unit: perSecond, title, width })}` +
    (rows.length ? legend([...rows].reverse()) : `<p class="none">No jobs in the last 5 minutes.</p>`);
}

function phasesHtml({ m }) {
  const spent = Object.keys(PHASES).map((name) => ({ name, h: m.histogram("pullback_job_seconds", { phase: is(name) }) }));
  const whole = spent.reduce((sum, { h }) => sum + h.sum, 0);
  const rows = spent.filter(({ h }) => h.count > 0)
    .map(({ name, h }) => ({ name, h, color: COLORS[name], share: ratio(h.sum, whole) || 0 }));
  if (!rows.length) return `<h2>Where the time goes</h2><p class="none">No job was answered in the last minute.</p>`;
  const lines = rows.map(({ name, h, color, share }) => [swatched(color, name, PHASES[name]),
    words(percent(share)), words(duration(quantile(0.5, h))), words(duration(quantile(0.99, h)))]);
  const all = m.histogram("pullback_job_seconds", TOTAL);
  lines.push(["<b>total</b> <span class=soft>arrival to answer</span>", "", words(duration(quantile(0.5, all))), words(duration(quantile(0.99, all)))]);
  return `<h2>Where the time goes</h2>${shareBar(rows)}${table(["phase", "share", "median", "99 %"], lines)}`;
}

function errorsHtml({ s, r }) {
  const reasons = [["pullback_jobs_total", "outcome", { outcome: not("ok") }, "jobs"],
    ["pullback_rejected_requests_total", "reason", { reason: any }, "turned away"]];
  const lines = reasons.flatMap(([name, label, where, what]) => {
    const values = [...new Set(select(s, name, where).map(({ labels }) => labels[label]))];
    return values.map((v) => ({ v, what, sum: total(s, name, { [label]: is(v) }), rate: r.rate(name, { [label]: is(v) }) }));
  }).filter(({ sum }) => sum > 0).sort((a, b) => b.sum - a.sum)
    .map(({ v, what, sum, rate }) => [swatched(COLORS[v] || css("grey"), v.replaceAll("_", " "), what), words(perSecond(rate)), words(scaled(sum, ""))]);
  const incidents = INCIDENTS.map(([title, name]) => [escaped(title), words(perSecond(r.rate(name))), words(scaled(total(s, name), ""))]);
  return `<h2>Errors and incidents</h2>` +
    (lines.length ? "" : `<p class="none">No job has failed since the server started.</p>`) +
    table(["reason", "now", "since start"], [...lines, ...incidents]);
}

function statusHtml(s) {
  const item = (dot, text) => `<li><span class="dot ${dot}"></span>${escaped(text)}</li>`;
  const [dispatcher] = select(s, "pullback_dispatcher_up");
  return (s.unready ? item("wait", `not ready: ${s.unready}`) : item("good", "ready")) +
    (!dispatcher ? item("", "no dispatcher") : dispatcher.value ? item("good", "dispatcher up") : item("bad", "dispatcher away")) +
    item("", `up ${age(s.uptime_s)}`);
}

function draw(view) {
  const { s } = view;
  const [build] = select(s, "pullback_build_info");
  element("about").textContent = `gradient computation service, version ${build.labels.version}`;
  element("status").innerHTML = statusHtml(s);
  element("tiles").innerHTML = TILES.map((tile) => tileHtml(tile, view)).join("");
  const width = Math.max(260, element("by-want").clientWidth - 32);
  element("by-want").innerHTML = chartHtml("Jobs by what was wanted", "wants", view, width);
  element("by-outcome").innerHTML = chartHtml("Jobs by how they ended", "outcomes", view, width);
  element("phases").innerHTML = phasesHtml(view);
  element("errors").innerHTML = errorsHtml(view);
  element("throughput").innerHTML = THROUGHPUT.map((tile) => tileHtml(tile, view)).join("");
  const idle = total(s, "pullback_jobs_total") === 0 ? "No job has come in yet. Send one from a client and it shows here within a second." : "";
  notice(idle, false);
}

function notice(text, bad) {
  element("notice").hidden = !text;
  element("notice").className = bad ? "bad" : "";
  if (element("notice").textContent !== text) element("notice").textContent = text;
  document.querySelector("main").className = bad ? "stale" : "";
}

async function poll() {
  if (!document.hidden) {
    try {
      const reply = await fetch("/snapshot.json", { cache: "no-store", signal: AbortSignal.timeout(5000) });
      if (!reply.ok) throw new Error(`status ${reply.status}`);
      draw(take(await reply.json()));
    } catch (error) {
      notice(`No answer from the server (${error.message}); trying again each second.`, true);
    }
  }
  setTimeout(poll, 1000 * POLL_S);
}

poll();
