// Pictures as SVG text. A series is [[time in s, value or null], ...]; time runs to the right edge.

const escaped = (text) => String(text).replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);

// Path of a line through the points, broken where a value is missing.
function linePath(points) {
  let pen = "M";
  return points
    .map(([x, y]) => {
      if (y === null) { pen = "M"; return ""; }
      const step = `${pen}${x.toFixed(1)} ${y.toFixed(1)}`;
      pen = "L";
      return step;
    })
    .join("");
}

// Largest value that a tidy axis over `value` ends at.
function axisEnd(value) {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return power * [1, 1.5, 2, 3, 4, 5, 6, 8, 10].find((step) => step * power >= value * 0.9999);
}

function sparkline(series, now, span, color) {
  const values = series.map(([, v]) => v).filter((v) => v !== null);
  const top = Math.max(...values, 1e-12);
  const points = series.map(([t, v]) => [300 + (300 * (t - now)) / span, v === null ? null : 32 - (30 * v) / top]);
  const known = points.filter(([, y]) => y !== null);
  const fill = known.length < 2 ? "" :
    `<path d="M${known[0][0]} 33${linePath(known).replace("M", "L")}L${known[known.length - 1][0]} 33Z" fill="${color}" opacity=".14"/>`;
  return `<svg class="spark" viewBox="0 0 300 34" preserveAspectRatio="none" aria-hidden="true">
    <path class="base" d="M0 33.5H300"/>${fill}
    <path d="${linePath(points)}" fill="none" stroke="${color}" stroke-width="1.6" stroke-linejoin="round"/></svg>`;
}

// Stacked areas, the first row lowest. rows: [{name, color, series}]: same times in each, no nulls.
function stackedChart(rows, { now, span, unit, title, width }) {
  const [left, right, top, bottom, height] = [62, 8, 10, 22, 210];
  const times = rows.length ? rows[0].series.map(([t]) => t) : [];
  const sums = times.map((_, i) => rows.reduce((sum, row) => sum + row.series[i][1], 0));
  const end = axisEnd(Math.max(...sums, 0));
  const x = (t) => width - right + ((width - left - right) * (t - now)) / span;
  const y = (v) => height - bottom - ((height - top - bottom) * v) / end;
  const grid = [0, 0.5, 1].map((f) =>
    `<path class="grid" d="M${left} ${y(f * end)}H${width - right}"/>
     <text x="${left - 8}" y="${y(f * end) + 4}" text-anchor="end">${escaped(words(unit(f * end)).replace(/(\.\d)0 /, "$1 "))}</text>`);
  const ticks = [1, 0.5].map((f) =>
    `<text x="${x(now - f * span)}" y="${height - 4}" text-anchor="${f === 1 ? "start" : "middle"}">−${(f * span) / 60} min</text>`);
  let floor = times.map(() => 0);
  const areas = rows.map(({ color, series }) => {
    const roof = floor.map((v, i) => v + series[i][1]);
    const there = times.map((t, i) => [x(t), y(roof[i])]);
    const back = times.map((t, i) => [x(t), y(floor[i])]).reverse();
    floor = roof;
    if (!there.length) return "";
    return `<path d="${linePath([...there, ...back])}Z" fill="${color}" opacity=".38"/>
      <path d="${linePath(there)}" fill="none" stroke="${color}" stroke-width="1.6" stroke-linejoin="round"/>`;
  });
  return `<svg class="chart" viewBox="0 0 ${width} ${height}" role="img" aria-label="${escaped(title)}">
    ${grid.join("")}${ticks.join("")}<text x="${width - right}" y="${height - 4}" text-anchor="end">now</text>
    ${areas.join("")}</svg>`;
}

function legend(rows) {
  const items = rows.map(({ name, color, figure }) =>
    `<li><span class="swatch" style="background:${color}"></span>${escaped(name)} <span class="soft">${escaped(figure)}</span></li>`);
  return `<ul class="legend">${items.join("")}</ul>`;
}

function shareBar(rows) {
  const parts = rows.map(({ name, color, share }) =>
    `<i style="width:${100 * share}%;background:${color}" title="${escaped(name)} ${escaped(words(percent(share)))}"></i>`);
  return `<div class="bar">${parts.join("")}</div>`;
}

// cells[0] of each row may be HTML; the others are text.
function table(head, rows) {
  const line = (cells) => `<tr>${cells.map((c, i) => `<td>${i ? escaped(c) : c}</td>`).join("")}</tr>`;
  return `<table><thead><tr>${head.map((h) => `<th scope="col">${escaped(h)}</th>`).join("")}</tr></thead>
    <tbody>${rows.map(line).join("")}</tbody></table>`;
}

const swatched = (color, name, more = "") =>
  `<span class="swatch" style="background:${color}"></span>${escaped(name)}${more ? ` <span class="soft">${escaped(more)}</span>` : ""}`;
