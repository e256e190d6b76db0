import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TurnBudget } from '../../src/base/turns.js';
import { TurnMeter } from '../tools/turn-meter.js';

/** Handles `count` items of `bytes` bytes. Returns the most that one turn of the event loop had to handle. */
async function handle(count: number, bytes: number): Promise<TurnMeter> {
  const meter = new TurnMeter();
  const turn = new TurnBudget();
  for (let i = 0; i < count; i++) {
    meter.hit();
    if (turn.spend(bytes)) await turn.nextTurn();
  }
  meter.stop();
  return meter;
}

test('a long loop over small items in memory lets the event loop turn after every thousand or so', async () => {
  const { most, turns } = await handle(20_000, 16);
  assert.ok(most <= 1024, `${most} items in one turn`);
  assert.ok(turns >= 15, `${turns} turns`);
});

test('large items fill a turn by their bytes, small work is done within one', async () => {
  assert.ok((await handle(40, 1024 * 1024)).most <= 4);
  assert.equal((await handle(900, 16)).turns, 0);
});
