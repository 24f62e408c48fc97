import { readChanges } from '../log/events.ts';
import type { Change } from '../log/schemas.ts';
import { singleFlight } from '../runtime/single-flight.ts';
import type { Collections } from '../store/collections.ts';
import type { SaleCurve } from './contract.ts';

/** What a sale came to so far, read off its event log. Grows with the log: only what is new is read. */
interface Story extends SaleCurve {
  seq: number;
}

const remembered = 50;
const documentsAtOnce = 1_000;
/** Twice as many points as a chart can show; past that every second one is dropped. */
const maxPoints = 600;

/** @returns reads a sale's story from the log. Asked again it goes on where it stopped. */
export function openStories(collections: Collections): (saleId: string) => Promise<SaleCurve> {
  const stories = new Map<string, Story>();
  return singleFlight(async (saleId) => {
    const story = stories.get(saleId) ?? newStory();
    stories.delete(saleId);
    for (let isMore = true; isMore; ) {
      const documents = await readChanges(collections, saleId, {
        after: story.seq,
        limit: documentsAtOnce,
      }).toArray();
      for (const { seq, at, changes } of documents) {
        for (const change of changes) tell(story, change, at);
        story.seq = seq;
        addPoint(story, at);
      }
      isMore = documents.length === documentsAtOnce;
    }
    // The one that was asked for last is the last to be forgotten.
    stories.set(saleId, story);
    const oldest = stories.keys().next().value;
    if (stories.size > remembered && oldest !== undefined) stories.delete(oldest);
    const { seq: _, ...curve } = story;
    return { ...curve, points: [...curve.points] };
  });
}

function newStory(): Story {
  return {
    seq: 0,
    stock: 0,
    units: 0,
    paidOrders: 0,
    paidUnits: 0,
    cancelledUnits: 0,
    rejected: {},
    firstPaidAt: null,
    soldOutAt: null,
    points: [],
  };
}

function tell(story: Story, change: Change, at: Date): void {
  switch (change.type) {
    case 'sale.created':
      story.stock = story.units = change.stock;
      break;
    case 'sale.stock_added':
      story.stock += change.units;
      story.units += change.units;
      story.soldOutAt = null;
      break;
    case 'order.paid':
      story.stock -= change.quantity;
      story.paidUnits += change.quantity;
      story.paidOrders += 1;
      story.firstPaidAt ??= at.toISOString();
      if (story.stock === 0) story.soldOutAt = at.toISOString();
      break;
    case 'order.cancelled':
      story.stock += change.quantity;
      story.cancelledUnits += change.quantity;
      story.soldOutAt = null;
      break;
    case 'order.rejected':
      story.rejected[change.reason] = (story.rejected[change.reason] ?? 0) + 1;
  }
}

/** Where the stock did not move there is nothing to draw. */
function addPoint({ points, stock }: Story, at: Date): void {
  if (points.at(-1)?.[1] === stock) return;
  points.push([at.getTime(), stock]);
  if (points.length <= maxPoints) return;
  // The ends stay, and where much happened there is more to keep.
  const kept = points.filter((_, n) => n === 0 || n % 2 === 1 || n === points.length - 1);
  points.splice(0, points.length, ...kept);
}
