import { percentile } from '../report/statistics.ts';

/**
 * A discrete-event simulation of a purchase's way: client, nginx, server, the flush to Redis, the worker's transaction in MongoDB.
 * Each step takes CPU time of a process; processes share the cores of their machine. Flushes and transactions gather what has
 * arrived meanwhile, as the real ones do.
 */

/** CPU seconds, fitted to what the processes used: see fit.ts. */
export interface Costs {
  client: { press: number };
  nginx: { press: number };
  server: { press: number; flush: number };
  redis: { press: number; flush: number };
  worker: { press: number; batch: number };
  mongo: { press: number; batch: number };
  /** Mean seconds that pass without CPU time: until Redis' disk has a flush, and MongoDB's a transaction. */
  waits: { flush: number; commit: number };
}

/** How many cores each machine has, and on which machine each process runs, by index. */
export interface Layout {
  machines: number[];
  clients: number[];
  nginx: number[];
  servers: number[];
  /** Each holds some of the shards, as does each worker. */
  redis: number[];
  workers: number[];
  /** The machines of MongoDB's shards, of which the workers use one each. */
  mongo: number[];
}

export interface SimulatedLoad {
  presses: number;
  /** Sales among which the presses are spread; each belongs to one shard. */
  sales: number;
  /** Closed loop: so many clients press again as soon as they are answered. */
  connections?: number;
  /** Open loop: presses arrive at this rate, whatever the answers take. */
  perSecond?: number;
  settleIntervalSeconds?: number;
}

export interface Outcome {
  acceptedPerSecond: number;
  settledPerSecond: number;
  answerMs: { p50: number; p99: number };
  paidMs: { p50: number; p99: number };
  /** The busiest process of each kind, and the busiest machine: the share of the time in which it worked; above 1 it cannot keep up. */
  busy: Record<string, number>;
}

/** The default of SHARDS. */
export const shards = 16;
const maxFlush = 500;
const maxBatch = 2_000;
/** The share of a server's or worker's cost that falls before the flush or the transaction. */
const before = 0.6;

/** Work of a process that takes CPU seconds. */
interface Task {
  seconds: number;
  then: () => void;
}

class Simulation {
  now = 0;
  #events: { at: number; order: number; run: () => void }[] = [];
  #order = 0;

  at(at: number, run: () => void): void {
    const event = { at, order: this.#order++, run };
    const events = this.#events;
    // A binary heap: the earliest event is the first one.
    let child = events.push(event) - 1;
    while (child > 0) {
      const parent = (child - 1) >> 1;
      if (!isEarlier(event, events[parent])) break;
      events[child] = events[parent] as typeof event;
      child = parent;
    }
    events[child] = event;
  }

  after(seconds: number, run: () => void): void {
    this.at(this.now + seconds, run);
  }

  run(): void {
    for (let event = this.#take(); event; event = this.#take()) {
      this.now = event.at;
      event.run();
    }
  }

  #take() {
    const events = this.#events;
    const [first] = events;
    const last = events.pop();
    if (!first || !last || events.length === 0) return first;
    let parent = 0;
    for (;;) {
      let child = 2 * parent + 1;
      if (child >= events.length) break;
      if (isEarlier(events[child + 1], events[child])) child += 1;
      if (!isEarlier(events[child], last)) break;
      events[parent] = events[child] as typeof last;
      parent = child;
    }
    events[parent] = last;
    return first;
  }
}

function isEarlier(one?: { at: number; order: number }, other?: { at: number; order: number }): boolean {
  if (!one || !other) return one !== undefined;
  return one.at < other.at || (one.at === other.at && one.order < other.order);
}

/** A machine gives each working process an equal share of its cores, at most one core each. */
class Machine {
  readonly working = new Set<Process>();
  busySeconds = 0;
  #since = 0;
  #plan = 0;

  readonly simulation: Simulation;
  readonly cores: number;

  constructor(simulation: Simulation, cores: number) {
    this.simulation = simulation;
    this.cores = cores;
  }

  /** Books the CPU time that has passed, and plans the next end of a task. */
  update(): void {
    const { simulation, working, cores } = this;
    const passed = simulation.now - this.#since;
    this.#since = simulation.now;
    const ended = passed > 0 || working.size > 0 ? this.#work(passed) : [];
    for (const task of ended) task.then();
    const plan = ++this.#plan;
    let soonest = Number.POSITIVE_INFINITY;
    for (const { left } of working) soonest = Math.min(soonest, left);
    if (working.size === 0) return;
    const speed = Math.min(1, cores / working.size);
    simulation.after(soonest / speed, () => {
      if (plan === this.#plan) this.update();
    });
  }

  #work(passed: number): Task[] {
    const { working, cores } = this;
    const speed = Math.min(1, cores / Math.max(1, working.size));
    this.busySeconds += passed * Math.min(working.size, cores);
    const ended: Task[] = [];
    for (const process of [...working]) {
      process.left -= passed * speed;
      process.busySeconds += passed * speed;
      if (process.left > 1e-12) continue;
      ended.push(...process.next());
    }
    return ended;
  }
}

/** A process with one thread: it does one task after the other. */
class Process {
  left = 0;
  busySeconds = 0;
  #tasks: Task[] = [];
  #first = 0;

  readonly machine: Machine;

  constructor(machine: Machine) {
    this.machine = machine;
  }

  do(seconds: number, then: () => void): void {
    if (seconds === 0) {
      this.machine.simulation.after(0, then);
      return;
    }
    this.#tasks.push({ seconds, then });
    if (this.#tasks.length - this.#first > 1) return;
    this.machine.update();
    this.left = seconds;
    this.machine.working.add(this);
    this.machine.update();
  }

  /** Ends the current task and begins the next one. */
  next(): Task[] {
    const task = this.#tasks[this.#first++];
    const following = this.#tasks[this.#first];
    if (following) this.left = following.seconds;
    else {
      this.machine.working.delete(this);
      this.#tasks = [];
      this.#first = 0;
    }
    if (this.#first > 10_000) {
      this.#tasks = this.#tasks.slice(this.#first);
      this.#first = 0;
    }
    return task ? [task] : [];
  }
}

const goldenRatio = (Math.sqrt(5) - 1) / 2;

/**
 * Disks take mostly less than their mean and sometimes much longer: exponentially distributed, by a sequence that fills the
 * distribution evenly, so that a run can be repeated.
 */
function openWaits(): (meanSeconds: number) => number {
  let drawn = 0;
  return (meanSeconds) => {
    drawn = (drawn + goldenRatio) % 1;
    return -meanSeconds * Math.log(1 - drawn);
  };
}

interface Press {
  number: number;
  pressedAt: number;
  answered: () => void;
}

/** @returns what the load meets; every press is accepted and settled. */
export function simulateLoad(costs: Costs, layout: Layout, load: SimulatedLoad): Outcome {
  const simulation = new Simulation();
  const machines = layout.machines.map((cores) => new Machine(simulation, cores));
  const pick = <Value>(values: Value[], n: number) => values[n % values.length] as Value;
  const start = (places: number[]) => places.map((machine) => new Process(machines[machine] as Machine));
  const kinds = {
    clients: start(layout.clients),
    nginx: start(layout.nginx),
    servers: start(layout.servers),
    redis: start(layout.redis),
    workers: start(layout.workers),
    // MongoDB runs each worker's transaction on a thread of its own.
    mongo: start(layout.workers.map((_, n) => pick(layout.mongo, n))),
  };
  const { settleIntervalSeconds = 0.01 } = load;
  const waitOf = openWaits();
  const [answers, paid]: [number[], number[]] = [[], []];
  let [answeredAt, paidAt, begun] = [0, 0, 0];

  /** A server has a flush of its own for each shard. */
  function openFlusher(server: Process, shard: number): (press: Press) => void {
    const waiting: Press[] = [];
    let isFlushing = false;
    const next = () => {
      if (isFlushing || waiting.length === 0) return;
      isFlushing = true;
      const presses = waiting.splice(0, maxFlush);
      server.do(costs.server.flush * before, () =>
        pick(kinds.redis, shard).do(costs.redis.flush + costs.redis.press * presses.length, () =>
          simulation.after(waitOf(costs.waits.flush), () => {
            for (const press of presses) answer(press);
            server.do(costs.server.flush * (1 - before), () => {});
            pick(settlers, shard)(presses);
            isFlushing = false;
            next();
          }),
        ),
      );
    };
    const answer = (press: Press) =>
      server.do(costs.server.press * (1 - before), () =>
        pick(kinds.nginx, press.number).do(costs.nginx.press / 2, press.answered),
      );
    return (press: Press) => {
      waiting.push(press);
      next();
    };
  }
  const flushers = kinds.servers.map((server) =>
    Array.from({ length: shards }, (_, shard) => openFlusher(server, shard)),
  );

  const settlers = kinds.workers.map((worker, n) => {
    const queued: Press[] = [];
    let isSettling = false;
    let beganAt = Number.NEGATIVE_INFINITY;
    const next = () => {
      if (isSettling || queued.length === 0) return;
      isSettling = true;
      const pauseSeconds = queued.length >= maxBatch ? 0 : beganAt + settleIntervalSeconds - simulation.now;
      simulation.after(Math.max(0, pauseSeconds), settle);
    };
    const settle = () => {
      beganAt = simulation.now;
      const batch = queued.splice(0, maxBatch);
      const ofWorker = costs.worker.batch + costs.worker.press * batch.length;
      const ofMongo = costs.mongo.batch + costs.mongo.press * batch.length;
      worker.do(ofWorker * before, () =>
        pick(kinds.mongo, n).do(ofMongo, () =>
          simulation.after(waitOf(costs.waits.commit), () => {
            worker.do(ofWorker * (1 - before), () => {
              paidAt = simulation.now;
              for (const { pressedAt } of batch) paid.push((simulation.now - pressedAt) * 1_000);
            });
            isSettling = false;
            next();
          }),
        ),
      );
    };
    return (presses: Press[]) => {
      queued.push(...presses);
      next();
    };
  });

  function press(n: number, whenAnswered: () => void): void {
    const client = pick(kinds.clients, n);
    const pressedAt = simulation.now;
    const shard = (n % load.sales) % shards;
    const answered = () =>
      client.do(costs.client.press / 2, () => {
        answeredAt = simulation.now;
        answers.push((simulation.now - pressedAt) * 1_000);
        whenAnswered();
      });
    client.do(costs.client.press / 2, () =>
      pick(kinds.nginx, n).do(costs.nginx.press / 2, () =>
        pick(kinds.servers, n).do(costs.server.press * before, () =>
          pick(pick(flushers, n), shard)({ number: n, pressedAt, answered }),
        ),
      ),
    );
  }

  const again = () => {
    if (begun < load.presses) press(begun++, again);
  };
  if (load.perSecond) {
    for (let n = 0; n < load.presses; n++) simulation.at(n / load.perSecond, () => press(n, () => {}));
  } else {
    for (let n = 0; n < Math.min(load.connections ?? 1, load.presses); n++) simulation.at(0, again);
  }
  simulation.run();

  // Of an open loop the time of the arrivals counts, so that too much work shows as more than 1.
  const duringSeconds = load.perSecond ? load.presses / load.perSecond : simulation.now;
  const share = (seconds: number) => seconds / duringSeconds;
  const shareOf = ({ busySeconds, cores }: Machine) => share(busySeconds) / cores;
  const busy: Record<string, number> = Object.fromEntries(
    Object.entries(kinds).map(([kind, processes]) => [
      kind,
      share(Math.max(...processes.map(({ busySeconds }) => busySeconds))),
    ]),
  );
  // A worker waits for its one transaction.
  busy.workers = Math.max(busy.workers ?? 0, busy.mongo ?? 0);
  busy.mongo = Math.max(...layout.mongo.map((machine) => shareOf(machines[machine] as Machine)));
  busy.machine = Math.max(...machines.map(shareOf));
  const quantiles = (values: number[]) => {
    const sorted = values.sort((one, other) => one - other);
    return { p50: percentile(sorted, 50), p99: percentile(sorted, 99) };
  };
  return {
    acceptedPerSecond: load.presses / answeredAt,
    settledPerSecond: load.presses / paidAt,
    answerMs: quantiles(answers),
    paidMs: quantiles(paid),
    busy,
  };
}
