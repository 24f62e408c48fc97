import { keyedQueue } from '../../runtime/keyed-queue.ts';
import type { LeaderTask } from '../../runtime/leader/leader.ts';
import type { Log } from '../../runtime/observe/log.ts';
import { pause } from '../../runtime/pause.ts';
import type { Gate } from '../../sale/admission/gate.ts';
import type { RoomStatus } from '../../sale/contract.ts';
import { callPeople, findRooms, type RoomSettings } from '../../sale/room/calls.ts';
import { readRoom } from '../../sale/room/room.ts';
import type { Collections } from '../../store/collections.ts';

const lookEveryMs = 250;
/** While there is no room. */
const idleLookEveryMs = 1_000;
/** After a fault in a room, so that one that lasts does not fill the log. */
const retryMs = 2_000;
/** Pages that wait are told so often; before the opening only the number of people changes. */
const [tellEveryMs, tellGatheringEveryMs] = [1_000, 5_000];
/** Rooms that are looked after at the same time, so that a slow one does not hold up the others. */
const roomsAtOnce = 4;
/** More rooms than the queries find. */
const maxWaiting = 2_000;

interface Dependencies {
  collections: Collections;
  gate: Gate;
  announceRoom: (status: RoomStatus) => void;
}

/** Calls people into the waiting rooms, and tells all pages once a second how far each room got. */
export function openRoomTask(
  { collections, gate, announceRoom }: Dependencies,
  settings: RoomSettings,
  log: Log,
): LeaderTask {
  /** Since when each room that was told is due again, and since when one that failed is, by `performance.now()`. */
  const tellAt = new Map<string, number>();
  const retryAt = new Map<string, number>();
  const isDue = (at: Map<string, number>, saleId: string) => performance.now() >= (at.get(saleId) ?? 0);

  async function tell(saleId: string, gateLeft: number | null, everyMs: number): Promise<void> {
    if (!isDue(tellAt, saleId)) return;
    tellAt.set(saleId, performance.now() + everyMs);
    const status = await readRoom(collections, saleId, { gateLeft });
    if (status) announceRoom(status);
  }

  return async (stopping) => {
    let open = new Set<string>();
    async function look(saleId: string): Promise<void> {
      if (!open.has(saleId)) return await tell(saleId, null, tellGatheringEveryMs);
      // Without the Redis of its shard nobody can buy, so nobody is called.
      const [gateLeft, backlog] = await Promise.all([gate.unitsLeft(saleId), gate.countQueued(saleId)]);
      await callPeople(collections, saleId, { gateLeft, backlog }, settings);
      await tell(saleId, gateLeft, tellEveryMs);
    }
    const rooms = keyedQueue({
      async work(saleId) {
        if (stopping.aborted || !isDue(retryAt, saleId)) return;
        await look(saleId).catch((error: Error) => {
          retryAt.set(saleId, performance.now() + retryMs);
          log.warn({ error: error.message, saleId }, 'calling people failed, retrying');
        });
      },
      maxRunning: roomsAtOnce,
      maxWaiting,
    });
    let wasWhole = true;
    try {
      while (!stopping.aborted) {
        const { ids, isWhole } = await findRooms(collections, 'open');
        if (wasWhole && !isWhole)
          log.warn({ rooms: ids.length }, 'more waiting rooms are open than are served');
        wasWhole = isWhole;
        open = new Set(ids);
        const { ids: gathering } = await findRooms(collections, 'gathering');
        const all = new Set([...ids, ...gathering]);
        for (const saleId of all) rooms.run(saleId);
        for (const at of [tellAt, retryAt])
          for (const saleId of at.keys()) if (!all.has(saleId)) at.delete(saleId);
        await pause(all.size > 0 ? lookEveryMs : idleLookEveryMs, stopping);
      }
    } finally {
      await rooms.drained();
    }
  };
}
