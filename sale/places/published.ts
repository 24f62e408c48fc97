import { redisClock } from '../../runtime/clock.ts';
import type { Collections } from '../../store/collections.ts';
import type { BeaconRecord } from '../../store/place-collections.ts';
import type { Draw } from '../contract.ts';
import { type BeaconChain, isLate, notHere, roundFor } from './beacon.ts';
import { readEntries } from './drawing.ts';

/** @returns what a draw has published so far; null when there is no such draw. */
export async function readDraw(
  { sales, placeLists }: Collections,
  chain: BeaconChain,
  saleId: string,
): Promise<Draw | null> {
  const sale = await sales.findOne({ _id: saleId });
  const list = await placeLists.findOne({ _id: saleId });
  const isRoom = sale?.mode === 'room';
  const drawAt = isRoom ? sale.opensAt : sale?.drawAt;
  if (!sale || !drawAt || !list?.draw) return null;
  const { state, commitment, entries, digest, frozenAt, seed, drawnAt } = list.draw;
  const isFixed = state !== 'entering' && state !== 'closing';
  const named = !isFixed && sale.drawBeacon ? { ...roundFor(chain, drawAt), ...notHere } : undefined;
  const beacon = list.draw.beacon ?? named;
  return {
    saleId,
    algorithm: beacon && !beacon.waivedAt ? 'hmac-sha256-v2' : 'hmac-sha256-v1',
    state: state === 'closing' ? 'entering' : state,
    opensAt: (isRoom ? (sale.publishedAt ?? sale.createdAt) : sale.opensAt).toISOString(),
    drawAt: drawAt.toISOString(),
    commitment,
    entries: entries ?? list.places,
    digest,
    frozenAt: frozenAt?.toISOString() ?? null,
    seed,
    drawnAt: drawnAt?.toISOString() ?? null,
    ...(beacon && { beacon: beaconOf(beacon) }),
  };
}

function beaconOf({ at, randomness, signature, waivedAt, ...named }: BeaconRecord): Required<Draw>['beacon'] {
  const { chain, round } = named;
  return {
    ...{ chain, round, at: at.toISOString(), randomness, signature },
    isLate: isLate({ at, randomness, waivedAt }, redisClock.now()),
    waivedAt: waivedAt?.toISOString() ?? null,
  };
}

/**
 * The draw and its list as JSON, one entry a line: the pseudonym and the number that it drew, which is null until then. The
 * list is empty until it is fixed.
 */
export async function* publishedDraw(collections: Collections, draw: Draw): AsyncGenerator<string> {
  yield `${JSON.stringify(draw).slice(0, -1)},"list":[`;
  let isFirst = true;
  if (draw.state !== 'entering') {
    for await (const { pseudonym, drawn = null } of readEntries(collections, draw.saleId)) {
      const number = draw.state === 'drawn' ? drawn : null;
      yield `${isFirst ? '' : ','}\n${JSON.stringify([pseudonym, number])}`;
      isFirst = false;
    }
  }
  yield '\n]}\n';
}
