/** Line charts with two logarithmic axes, as SVG. */

const WIDTH = 860;
const HEIGHT = 480;
const PLOT = { left: 84, right: 640, top: 56, bottom: 412 };
const LEGEND_LEFT = 662;
const LEGEND_LINE = 24;
// Told apart by everybody, also in grey: colours of Okabe and Ito, and a marker each.
const STYLES = [
  { color: '#0072B2', marker: 'circle' },
  { color: '#56B4E9', marker: 'square' },
  { color: '#D55E00', marker: 'triangle' },
  { color: '#009E73', marker: 'diamond' },
  { color: '#CC79A7', marker: 'circle' },
  { color: '#E69F00', marker: 'square' },
];
const REFERENCE_STYLES = [
  { color: '#8c959f', marker: 'none', dash: '7 4' },
  { color: '#24292f', marker: 'none', dash: '2 3' },
];

/**
 * An SVG document. `series` are { name, points: [[x, y], …], reference } with positive numbers; a
 * reference is drawn dashed and without markers. `xTicks` are the values marked on the x axis, and
 * `yFormat` writes those on the y axis.
 */
export function lineChart({ title, xLabel, yLabel, xTicks, yFormat, series }) {
  const drawn = withStyles(series.filter(({ points }) => points.length > 0));
  const ys = drawn.flatMap(({ points }) => points.map(([, y]) => y));
  const yDecades = decades(Math.min(...ys), Math.max(...ys));
  const x = logScale(xTicks[0], xTicks[xTicks.length - 1], PLOT.left, PLOT.right);
  const y = logScale(yDecades[0], yDecades[yDecades.length - 1], PLOT.bottom, PLOT.top);
  const parts = [
    ...yGrid(yDecades, y, yFormat),
    ...xGrid(xTicks, x),
    frame(),
    text(PLOT.left, 30, title, 'font-size="17" font-weight="600"'),
    text((PLOT.left + PLOT.right) / 2, HEIGHT - 22, xLabel, 'text-anchor="middle"'),
    text(0, 0, yLabel, `text-anchor="middle" transform="translate(20 ${(PLOT.top + PLOT.bottom) / 2}) rotate(-90)"`),
    ...drawn.map((line) => curve(line, x, y)),
    ...drawn.map((line, i) => legend(line, PLOT.top + 12 + i * LEGEND_LINE)),
  ];
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" width="${WIDTH}" height="${HEIGHT}"` +
      ' font-family="system-ui, -apple-system, Segoe UI, Helvetica, Arial, sans-serif" font-size="13" fill="#24292f">',
    `<title>${escape(title)}</title>`,
    // A ground of its own: the chart is also looked at on a dark page.
    `<rect width="${WIDTH}" height="${HEIGHT}" rx="6" fill="#ffffff"/>`,
    ...parts,
    '</svg>',
    '',
  ].join('\n');
}

function withStyles(series) {
  const counts = { line: 0, reference: 0 };
  return series.map((line) => {
    const style = line.reference
      ? REFERENCE_STYLES[counts.reference++ % REFERENCE_STYLES.length]
      : STYLES[counts.line++ % STYLES.length];
    return { ...line, style };
  });
}

/** The powers of ten from at most `least` to at least `most`. */
function decades(least, most) {
  const first = Math.floor(Math.log10(least));
  const last = Math.max(first + 1, Math.ceil(Math.log10(most)));
  return Array.from({ length: last - first + 1 }, (_, i) => 10 ** (first + i));
}

function logScale(least, most, from, to) {
  const span = Math.log(most / least);
  return (value) => round(from + (to - from) * (Math.log(value / least) / span));
}

function yGrid(values, y, format) {
  const parts = [];
  for (const value of values) {
    parts.push(level(y(value), '#d0d7de'));
    parts.push(text(PLOT.left - 9, y(value) + 4.5, format(value), 'text-anchor="end"'));
    if (value === values[values.length - 1]) continue;
    for (let i = 2; i < 10; i++) parts.push(level(y(i * value), '#f0f2f4'));
  }
  return parts;
}

function level(y, color) {
  return `<path d="M${PLOT.left} ${y}H${PLOT.right}" stroke="${color}"/>`;
}

function xGrid(ticks, x) {
  return ticks.flatMap((tick) => [
    `<path d="M${x(tick)} ${PLOT.top}V${PLOT.bottom}" stroke="#e6e9ec"/>`,
    text(x(tick), PLOT.bottom + 20, String(tick), 'text-anchor="middle"'),
  ]);
}

function frame() {
  const { left, right, top, bottom } = PLOT;
  return `<path d="M${left} ${top}V${bottom}H${right}" fill="none" stroke="#57606a"/>`;
}

function curve({ points, style }, x, y) {
  const placed = points.map(([px, py]) => [x(px), y(py)]);
  const path = placed.map(([px, py], i) => `${i === 0 ? 'M' : 'L'}${px} ${py}`).join('');
  return `<path d="${path}" ${stroke(style)}/>${placed.map(([px, py]) => marker(style, px, py)).join('')}`;
}

function legend({ name, style }, top) {
  return `<path d="M${LEGEND_LEFT} ${top}h26" ${stroke(style)}/>${marker(style, LEGEND_LEFT + 13, top)}` +
    text(LEGEND_LEFT + 34, top + 4.5, name);
}

function stroke({ color, dash }) {
  const dashes = dash === undefined ? '' : ` stroke-dasharray="${dash}"`;
  return `fill="none" stroke="${color}" stroke-width="2" stroke-linejoin="round"${dashes}`;
}

function marker({ color, marker: shape }, x, y) {
  const fill = `fill="${color}"`;
  switch (shape) {
    case 'circle': return `<circle cx="${x}" cy="${y}" r="4" ${fill}/>`;
    case 'square': return `<path d="M${round(x - 3.5)} ${round(y - 3.5)}h7v7h-7z" ${fill}/>`;
    case 'triangle': return `<path d="M${x} ${round(y - 5)}l5 8.5h-10z" ${fill}/>`;
    case 'diamond': return `<path d="M${x} ${round(y - 5)}l5 5l-5 5l-5 -5z" ${fill}/>`;
    default: return '';
  }
}

function text(x, y, content, attributes = '') {
  return `<text x="${round(x)}" y="${round(y)}" ${attributes}>${escape(content)}</text>`;
}

function escape(content) {
  return content.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
}

function round(value) {
  return Math.round(value * 10) / 10;
}
