import type { LeaderTask } from '../../runtime/leader/leader.ts';
import type { Log } from '../../runtime/observe/log.ts';
import { pause } from '../../runtime/pause.ts';
import type { Gate } from '../../sale/admission/gate.ts';
import type { RoomStatus } from '../../sale/contract.ts';
import { callPeople, findRooms, type RoomTimes } from '../../sale/room/calls.ts';
import { readRoom } from '../../sale/room/room.ts';
import type { Collections } from '../../store/collections.ts';

const lookEveryMs = 250;
/** After a fault, so that one that lasts does not fill the log. */
const retryMs = 2_000;
/** Pages that wait are told so often. */
const tellEveryMs = 1_000;

interface Dependencies {
  collections: Collections;
  gate: Gate;
  announceRoom: (status: RoomStatus) => void;
}

/** Calls people into the waiting rooms, and tells all pages once a second how far each room got. */
export function openRoomTask(
  { collections, gate, announceRoom }: Dependencies,
  times: RoomTimes,
  log: Log,
): LeaderTask {
  /** When each room was told last, by `performance.now()`. */
  let toldAt = new Map<string, number>();
  async function look(saleId: string): Promise<void> {
    // Without Redis nobody can buy, so nobody is called.
    const [gateLeft, backlog] = await Promise.all([gate.unitsLeft(saleId), gate.countQueued()]);
    await callPeople(collections, saleId, { gateLeft, backlog }, times);
    if (performance.now() - (toldAt.get(saleId) ?? Number.NEGATIVE_INFINITY) < tellEveryMs) return;
    const status = await readRoom(collections, saleId, { gateLeft });
    if (status) announceRoom(status);
    toldAt.set(saleId, performance.now());
  }
  return async (stopping) => {
    while (!stopping.aborted) {
      const rooms = await findRooms(collections);
      let hasFailed = false;
      for (const saleId of rooms) {
        try {
          await look(saleId);
        } catch (error) {
          hasFailed = true;
          log.warn({ error: (error as Error).message, saleId }, 'calling people failed, retrying');
        }
      }
      toldAt = new Map(rooms.map((saleId) => [saleId, toldAt.get(saleId) ?? 0]));
      await pause(hasFailed ? retryMs : lookEveryMs, stopping);
    }
  };
}
