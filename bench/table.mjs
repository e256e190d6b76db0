/** Markdown tables and the numbers in them. */

/** A markdown table. The first column is aligned left, the others right. */
export function table(headers, rows) {
  const cells = [headers, ...rows].map((row) => row.map(String));
  const widths = headers.map((_, column) => Math.max(3, ...cells.map((row) => row[column].length)));
  const line = (row) => `| ${row.join(' | ')} |`;
  const aligned = (row) => line(row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]) : cell.padStart(widths[i]))));
  const rule = line(widths.map((width, i) => (i === 0 ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`)));
  return [aligned(cells[0]), rule, ...cells.slice(1).map(aligned)].join('\n');
}

/** `value` in at most three significant digits and k or M: 12.3 k. */
export function rate(value) {
  if (value >= 999_500) return `${significant(value / 1e6)} M`;
  if (value >= 999.5) return `${significant(value / 1e3)} k`;
  return significant(value);
}

/** Microseconds as µs, ms or s. */
export function duration(micros) {
  if (micros >= 999_500) return `${significant(micros / 1e6)} s`;
  if (micros >= 999.5) return `${significant(micros / 1e3)} ms`;
  return `${significant(micros)} µs`;
}

export function megabytes(bytes) {
  return significant(bytes / 1e6);
}

export function mebibytes(bytes) {
  return significant(bytes / 2 ** 20);
}

export function ratio(value) {
  return Number.isFinite(value) ? value.toFixed(value >= 10 ? 1 : 2) : '–';
}

/** `bytes` as the size of an entry: 256 B, 4 KiB, 1 MiB. */
export function size(bytes) {
  if (bytes % 2 ** 20 === 0) return `${bytes / 2 ** 20} MiB`;
  if (bytes % 1024 === 0) return `${bytes / 1024} KiB`;
  return `${bytes} B`;
}

function significant(value) {
  if (!Number.isFinite(value)) return '–';
  if (value >= 100) return value.toFixed(0);
  if (value >= 10) return value.toFixed(1);
  return value.toFixed(2);
}
