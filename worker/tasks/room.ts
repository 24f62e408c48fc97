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
/** Pages that wait are told so often; before the opening only the number of people changes. */
const [tellEveryMs, tellGatheringEveryMs] = [1_000, 5_000];
/** Rooms that are looked after at the same time, so that a slow one does not hold up the others. */
const roomsAtOnce = 4;

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

  async function tell(saleId: string, gateLeft: number | null, everyMs: number): Promise<void> {
    if (performance.now() - (toldAt.get(saleId) ?? Number.NEGATIVE_INFINITY) < everyMs) return;
    const status = await readRoom(collections, saleId, { gateLeft });
    if (status) announceRoom(status);
    toldAt.set(saleId, performance.now());
  }

  /** @returns whether it worked for all of them. */
  async function each(saleIds: string[], look: (saleId: string) => Promise<void>): Promise<boolean> {
    let isFine = true;
    const rest = saleIds.values();
    const lookAtNext = async () => {
      for (const saleId of rest) {
        try {
          await look(saleId);
        } catch (error) {
          isFine = false;
          log.warn({ error: (error as Error).message, saleId }, 'calling people failed, retrying');
        }
      }
    };
    await Promise.all(Array.from({ length: roomsAtOnce }, lookAtNext));
    return isFine;
  }

  let wasWhole = true;
  return async (stopping) => {
    while (!stopping.aborted) {
      const { ids: open, isWhole } = await findRooms(collections, 'open');
      if (wasWhole && !isWhole)
        log.warn({ rooms: open.length }, 'more waiting rooms are open than are served');
      wasWhole = isWhole;
      // Without Redis nobody can buy, so nobody is called.
      const backlog = open.length > 0 ? await gate.countQueued() : 0;
      const isOpenFine = await each(open, async (saleId) => {
        const gateLeft = await gate.unitsLeft(saleId);
        await callPeople(collections, saleId, { gateLeft, backlog }, times);
        await tell(saleId, gateLeft, tellEveryMs);
      });
      const { ids: gathering } = await findRooms(collections, 'gathering');
      const isFine = await each(gathering, (saleId) => tell(saleId, null, tellGatheringEveryMs));
      const rooms = [...open, ...gathering];
      toldAt = new Map(rooms.flatMap((saleId) => [[saleId, toldAt.get(saleId) ?? Number.NEGATIVE_INFINITY]]));
      await pause(isOpenFine && isFine ? lookEveryMs : retryMs, stopping);
    }
  };
}
