/** The ratios the log sets out to reach, and whether the run reached them. */
import { ratioOf } from './measure.mjs';
import { cell } from './scenarios/commits.mjs';
import { toClassic } from './scenarios/levels.mjs';
import { ratios } from './scenarios/reads.mjs';
import { duration, rate, ratio, size as sizeName, table } from './table.mjs';

const MIB = 1 << 20;
/** [size, writers, peer, at least]: commits/s of the log ÷ the peer's. */
const PEERS = [
  [256, 16, 'lmdb', 2],
  [256, 64, 'lmdb', 2.5],
  [256, 1000, 'lmdb', 2],
  [256, 64, 'better-sqlite3', 25],
  [256, 64, 'classic-level', 25],
  [4096, 64, 'lmdb', 4],
];
/** [writers, at least]: commits/s of 256 B entries ÷ the ceiling's. */
const CEILING = [
  [16, 0.9],
  [64, 0.9],
  [256, 0.85],
  [1000, 0.85],
];

/** The markdown table of every target, for the scenarios that have been run. `results` are theirs by name. */
export function targetsTable({ commits, steady, recovery, reads, follow, levels, memory, loop }) {
  const targets = [
    ...(commits === undefined ? [] : commitTargets(commits)),
    ...(steady === undefined ? [] : steadyTargets(steady)),
    ...(recovery === undefined ? [] : recoveryTargets(recovery)),
    ...(reads === undefined ? [] : readTargets(reads)),
    ...(follow === undefined ? [] : followTargets(follow)),
    ...(levels === undefined ? [] : levelTargets(levels)),
    ...(memory === undefined ? [] : memoryTargets(memory)),
    ...(loop === undefined ? [] : loopTargets(loop)),
  ];
  return table(['target', 'wanted', 'measured', '', 'with blockingFlush'], targets.map(row));
}

/** `blocking` is the same figure of the log with `blockingFlush`, where that makes a difference. */
function row({ what, atLeast, atMost, measured, blocking, show = ratio }) {
  const wanted = atLeast === undefined ? `≤ ${show(atMost)}` : `≥ ${show(atLeast)}`;
  const met = atLeast === undefined ? measured <= atMost : measured >= atLeast;
  return [what, wanted, show(measured), met ? 'met' : '**not met**', blocking === undefined ? '' : show(blocking)];
}

function commitTargets({ cells, plan }) {
  const of = (size, writers, contestant) => cell(cells, size, writers)?.[contestant];
  return [
    ...floorTargets(of),
    ...PEERS.flatMap(([size, writers, peer, atLeast]) => {
      const other = of(size, writers, peer);
      if (other === undefined) return [];
      const what = `${sizeName(size)}, ${writers} writers: commits/s ÷ ${peer}'s`;
      return [{ what, atLeast, ...both((contestant) => of(size, writers, contestant).perSecond / other.perSecond) }];
    }),
    ...bandwidthTargets(of),
    ...CEILING.flatMap(([writers, atLeast]) => {
      const ceiling = of(256, writers, 'ceiling');
      if (ceiling === undefined) return [];
      const what = `256 B, ${writers} writers: commits/s ÷ the ceiling's`;
      return [{ what, atLeast, ...both((contestant) => ratioOf(of(256, writers, contestant), ceiling).middle) }];
    }),
    ...[64, 1000].flatMap((writers) => {
      const entry = of(256, writers, 'log-entry');
      if (entry === undefined) return [];
      const what = `256 B, ${writers} writers: commits/s by beginEntry ÷ by append`;
      return [{ what, atLeast: 0.8, measured: ratioOf(entry, of(256, writers, 'log-append')).middle }];
    }),
    ...plan.sizes.filter((size) => size !== 256)
      .map((size) => ceilingTarget(cells.filter((candidate) => candidate.size === size), size)),
  ];
}

/** Each against the faster of the two floors, so the stricter ratio. */
function floorTargets(of) {
  const floorP50 = (writers) => Math.min(
    of(256, writers, 'floor-write-fdatasync').p50, of(256, writers, 'floor-dsync')?.p50 ?? Infinity,
  );
  const p50 = (contestant) => floorP50(1) / of(256, 1, contestant).p50;
  const perSync = (contestant) => of(256, 64, contestant).perSecond * floorP50(64) / 1e6;
  const cpu = (contestant) => of(256, 1000, contestant).cpuMicros;
  return [
    { what: '256 B, 1 writer: floor p50 ÷ commit p50', atLeast: 0.65, ...both(p50) },
    { what: '256 B, 64 writers: commits per floor-sync time', atLeast: 28, ...both(perSync) },
    { what: '256 B, 1000 writers: CPU µs per commit', atMost: 2, ...both(cpu) },
  ];
}

/** A figure of the log as it is by default, and with `blockingFlush`. */
function both(figure) {
  return { measured: figure('log-append'), blocking: figure('log-blocking') };
}

/** One writer against the floor that writes what it writes; many against the most the device takes beside them. */
function bandwidthTargets(of) {
  const log = (writers) => of(MIB, writers, 'log-append').bytesPerSecond;
  if (of(MIB, 1, 'log-append') === undefined) return [];
  const floors = ['floor-write-fdatasync', 'floor-dsync'].map((floor) => of(MIB, 1, floor)?.bytesPerSecond ?? 0);
  const device = of(MIB, 64, 'floor-bandwidth').bytesPerSecond;
  const best = Math.max(...[4, 8, 16, 64].map(log));
  return [
    { what: '1 MiB, 1 writer: bandwidth ÷ the floor\'s', atLeast: 0.75, measured: log(1) / Math.max(...floors) },
    { what: '1 MiB, best of 4 to 64 writers: bandwidth ÷ 8 MiB at once', atLeast: 0.9, measured: best / device },
  ];
}

function ceilingTarget(cells, size) {
  const toCeiling = (of, contestant) => of[contestant].perSecond / of.ceiling.perSecond;
  const worst = cells.reduce((least, candidate) => (
    toCeiling(candidate.of, 'log-append') < toCeiling(least.of, 'log-append') ? candidate : least
  ));
  const what = `${sizeName(size)}: commits/s ÷ the ceiling's, the least of all (${worst.writers} writers)`;
  return { what, atLeast: 0.8, ...both((contestant) => toCeiling(worst.of, contestant)) };
}

function steadyTargets({ of }) {
  const against = (contestant) => of[contestant].p999 / of.still.p999;
  return [
    { what: 'p99.9 with rotation, checkpointing and recycling ÷ without', atMost: 1.5, measured: against('void') },
    { what: 'the same, the manager reading every chunk on the same thread', atMost: 1.3, measured: against('reading') },
  ];
}

function recoveryTargets({ cells: [small, middling] }) {
  const perBareByte = middling.delivered.bytesPerSecond / middling.bare.bytesPerSecond;
  const { entriesPerSecond } = small.delivered;
  return [
    { what: 'recovery, 4 KiB entries: bytes/s ÷ bare read with checksum', atLeast: 0.85, measured: perBareByte },
    { what: 'recovery, 100 B entries: entries/s', atLeast: 1e6, measured: entriesPerSecond, show: rate },
  ];
}

function readTargets(result) {
  return ratios(result).flatMap(({ size, syncToBare, syncToBestPeer, readToBare, manyToSingle }) => {
    const what = `random reads of ${sizeName(size)}, hot`;
    return [
      { what: `${what}: readSync ÷ bare fs.readSync`, atLeast: 0.55, measured: syncToBare },
      { what: `${what}: readSync ÷ the best of the peers`, atLeast: 1.1, measured: syncToBestPeer ?? NaN },
      ...readToBare.filter(({ readers }) => readers === 1 || readers === 16).map(({ readers, measured }) => (
        { what: `${what}, ${readers} at a time: read ÷ bare fs.read`, atLeast: 0.9, measured }
      )),
      { what: `${what}: readMany of 64 neighbours ÷ 64 reads at once`, atLeast: 8, measured: manyToSingle },
    ];
  });
}

function followTargets({ deliveryToCommit, iteratedToRecovered }) {
  return [
    { what: 'follow: append to delivery p50 ÷ the commit\'s own p50', atMost: 1.1, measured: deliveryToCommit },
    { what: 'iteration, 4 KiB entries: bytes/s ÷ recovery\'s', atLeast: 1, measured: iteratedToRecovered },
  ];
}

function levelTargets({ cells }) {
  return cells.map((cell) => ({
    what: `level, ${cell.what}, ${cell.callers} callers: writes/s ÷ classic-level's`,
    atLeast: 1.5, measured: toClassic(cell, 'wal').middle, blocking: toClassic(cell, 'wal-blocking').middle,
  }));
}

function memoryTargets({ of }) {
  const growth = (contestant) => of[contestant].growthBytes / MIB;
  return [
    { what: '100,000 pending commits of 256 B: MiB of RSS growth', atMost: 70, measured: growth('log-append') },
    { what: 'the same by beginEntry', atMost: 120, measured: growth('log-entry') },
  ];
}

function loopTargets({ cells }) {
  return cells.map(({ label, total, ownMicros }) => ({
    what: `${label}, ${total.toLocaleString('en')} entries: the most that one turn of the event loop computes`,
    atMost: 20_000,
    measured: ownMicros,
    show: duration,
  }));
}
