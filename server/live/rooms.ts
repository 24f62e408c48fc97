import { LRUCache } from 'lru-cache';
import type { Gate } from '../../sale/admission/gate.ts';
import type { RoomStatus } from '../../sale/contract.ts';
import { readRoom } from '../../sale/room/room.ts';
import type { Collections } from '../../store/collections.ts';

/** The leader sends each status once a second; when it does not, a server reads MongoDB as often. */
const freshMs = 2_500;
const readFreshMs = 1_000;
const rememberedRooms = 1_000;

/** The status of each waiting room in the memory of this server, so that no page that waits costs a query. */
export interface Rooms {
  keep(status: RoomStatus): void;
  /** Null when the sale has no waiting room. */
  read(saleId: string): Promise<RoomStatus | null>;
}

export function openRooms(collections: Collections, gate: Pick<Gate, 'unitsLeft'>): Rooms {
  const statuses = new LRUCache<string, { status: RoomStatus | null }>({
    max: rememberedRooms,
    ttl: readFreshMs,
    async fetchMethod(saleId) {
      const gateLeft = await gate.unitsLeft(saleId).catch(() => null);
      return { status: await readRoom(collections, saleId, { gateLeft }) };
    },
  });
  return {
    keep: (status) => void statuses.set(status.saleId, { status }, { ttl: freshMs }),
    read: async (saleId) => (await statuses.fetch(saleId))?.status ?? null,
  };
}
