// Numbers out of snapshots: what grew between two of them, quantiles of histograms, and units.

// Samples of a metric whose labels match, as [{labels, value}].
function select(snapshot, name, where = {}) {
  const metric = snapshot.metrics[name];
  return metric.samples
    .map(([values, value]) => ({ labels: Object.fromEntries(metric.labels.map((l, i) => [l, values[i]])), value }))
    .filter(({ labels }) => Object.entries(where).every(([key, test]) => test(labels[key])));
}

const is = (value) => (other) => other === value;
const not = (value) => (other) => other !== value;
const any = () => true;

function total(snapshot, name, where) {
  return select(snapshot, name, where).reduce((sum, { value }) => sum + value, 0);
}

// The time between two snapshots of one server.
class Span {
  constructor(before, now) {
    this.before = before;
    this.now = now;
    this.seconds = now.time_s - before.time_s;
  }

  growth(name, where) {
    return total(this.now, name, where) - total(this.before, name, where);
  }

  rate(name, where) {
    return this.seconds > 0 ? this.growth(name, where) / this.seconds : null;
  }

  // Rates by the values of one label, those of zero included.
  rates(name, label, where) {
    const values = new Set(select(this.now, name, where).map(({ labels }) => labels[label]));
    return Object.fromEntries([...values].map((v) => [v, this.rate(name, { ...where, [label]: is(v) })]));
  }

  // A histogram's observations of this time: bucket bounds, counts, their sum and number.
  histogram(name, where) {
    const [now] = select(this.now, name, where);
    const [before] = select(this.before, name, where);
    const counts = now.value.counts.map((count, i) => count - before.value.counts[i]);
    const count = counts.reduce((a, b) => a + b, 0);
    return { bounds: now.value.bounds, counts, count, sum: now.value.sum - before.value.sum };
  }
}

// As Prometheus estimates it: linear within the bucket that holds the quantile.
function quantile(q, { bounds, counts, count }) {
  if (count <= 0) return null;
  let rank = q * count;
  for (let i = 0; i < bounds.length; i++) {
    if (rank <= counts[i] && counts[i] > 0) {
      const low = i ? bounds[i - 1] : 0;
      return low + ((bounds[i] - low) * rank) / counts[i];
    }
    rank -= counts[i];
  }
  return bounds[bounds.length - 1];
}

const ratio = (part, whole) => (whole > 0 ? part / whole : null);

// --- units: [figure, unit] --------------------------------------------------------------------

const digits = (x) => (x >= 99.95 ? x.toFixed(0) : x >= 9.995 ? x.toFixed(1) : x.toFixed(2)).replace(/\.0+$/, "");
const PREFIXES = [[1e15, "P"], [1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]];

function scaled(x, unit) {
  if (x === null) return ["–", ""];
  const [factor, prefix] = PREFIXES.find(([f]) => x >= 0.9995 * f) || [1, ""];
  return [digits(x / factor), prefix + unit];
}

function percent(x) {
  return x === null ? ["–", ""] : [digits(100 * x), "%"];
}

function duration(s) {
  if (s === null) return ["–", ""];
  if (s < 0.9995e-3) return [digits(s * 1e6), "µs"];
  if (s < 0.9995) return [digits(s * 1e3), "ms"];
  return s < 120 ? [digits(s), "s"] : [digits(s / 60), "min"];
}

const count = (x) => [x === null ? "–" : String(Math.round(x)), ""];
const perSecond = (x) => scaled(x, "/s");
const bytesPerSecond = (x) => scaled(x, "B/s");
const flopsPerSecond = (x) => scaled(x, "FLOP/s");
const words = ([figure, unit]) => (unit ? `${figure} ${unit}` : figure);

function age(s) {
  const units = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  const i = units.findIndex(([size]) => s >= size);
  if (i < 0) return "0 s";
  const [size, name] = units[i];
  const rest = i + 1 < units.length ? Math.floor((s % size) / units[i + 1][0]) : 0;
  return `${Math.floor(s / size)} ${name}` + (rest ? ` ${rest} ${units[i + 1][1]}` : "");
}
