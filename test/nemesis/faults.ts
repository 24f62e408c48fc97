import type { Cluster, Member } from './cluster.ts';
import { between, chooseFrom, shuffled } from './random.ts';

/** A fault that lasts until it is ended. */
export interface Fault {
  /** What is done to what, for the report. */
  about: string;
  begin(): Promise<unknown>;
  end(): Promise<unknown>;
}

type Draw = (cluster: Cluster, random: () => number) => Fault;

const healNetwork = (cluster: Cluster) => () => cluster.network.heal();
const nodesOf = ({ databaseNodes, appNodes }: Cluster) => [...databaseNodes, ...appNodes];

/** Cuts every pair of these two groups, both ways. */
async function split({ network }: Cluster, some: number[], others: number[]): Promise<void> {
  for (const one of some) {
    for (const other of others) {
      if (one !== 0) await network.cut(other, one);
      if (other !== 0) await network.cut(one, other);
    }
  }
}

const draws = {
  /** The nodes fall into two halves. The clients reach both. */
  halves(cluster, random) {
    const nodes = shuffled(random, nodesOf(cluster));
    const [some, others] = [nodes.slice(0, 2), nodes.slice(2)];
    return {
      about: `nodes ${some} and ${others} are apart`,
      begin: () => split(cluster, some, others),
      end: healNetwork(cluster),
    };
  },

  /** One node is alone, and the clients do not reach it either. */
  isolated(cluster, random) {
    const [alone = 1, ...others] = shuffled(random, nodesOf(cluster));
    return {
      about: `node ${alone} is alone`,
      begin: () => split(cluster, [alone], [0, ...others]),
      end: healNetwork(cluster),
    };
  },

  /** Two halves that only one node reaches. */
  bridge(cluster, random) {
    const [middle, ...nodes] = shuffled(random, nodesOf(cluster));
    const [some, others] = [nodes.slice(0, 2), nodes.slice(2)];
    return {
      about: `only node ${middle} reaches both ${some} and ${others}`,
      begin: () => split(cluster, some, others),
      end: healNetwork(cluster),
    };
  },

  'one-way'(cluster, random) {
    const [deaf = 1, mute = 2] = shuffled(random, nodesOf(cluster));
    return {
      about: `node ${deaf} does not hear node ${mute}`,
      begin: () => cluster.network.cut(mute, deaf),
      end: healNetwork(cluster),
    };
  },

  lossy(cluster, random) {
    const node = chooseFrom(random, nodesOf(cluster));
    const percent = between(random, 5, 30);
    return {
      about: `node ${node} loses ${percent}% of its packets`,
      begin: () => cluster.network.lose(node, percent),
      end: healNetwork(cluster),
    };
  },

  slow(cluster, random) {
    const node = chooseFrom(random, nodesOf(cluster));
    const kilobits = between(random, 200, 2_000);
    return {
      about: `node ${node} sends ${kilobits} kbit/s`,
      begin: () => cluster.network.slow(node, kilobits * 1_000),
      end: healNetwork(cluster),
    };
  },

  killed(cluster, random) {
    const member = chooseFrom(random, cluster.members);
    return killing([member], `${member.name} is killed`);
  },

  /** Everything on a node is killed at once, as when its power fails. */
  'node-killed'(cluster, random) {
    const node = chooseFrom(random, nodesOf(cluster));
    return killing(
      cluster.members.filter((member) => member.node === node),
      `node ${node} is killed`,
    );
  },

  paused: (cluster, random) => pausing(chooseFrom(random, cluster.members)),

  clock(cluster, random) {
    const node = chooseFrom(random, cluster.appNodes);
    const seconds = between(random, 5, 120) * (random() < 0.5 ? -1 : 1);
    return {
      about: `the clock of node ${node} is ${seconds} s ahead`,
      begin: () => cluster.setClock(node, seconds),
      end: () => cluster.setClock(node, 0),
    };
  },

  'disk-full'(cluster, random) {
    const node = chooseFrom(random, cluster.databaseNodes);
    return {
      about: `the disk of node ${node} is full`,
      begin: () => cluster.fillDisk(node),
      end: () => cluster.freeDisk(node),
    };
  },
} satisfies Record<string, Draw>;

export const faultNames = Object.keys(draws) as (keyof typeof draws)[];

export const drawFault = (name: keyof typeof draws, cluster: Cluster, random: () => number): Fault =>
  draws[name](cluster, random);

/** Faults that leave a server and a worker which reach a primary and Redis, so that they may last. */
const lastingDraws: Draw[] = [
  (cluster, random) => {
    const node = chooseFrom(random, cluster.appNodes);
    const what = chooseFrom(random, ['MongoDB', 'Redis'] as const);
    return {
      about: `node ${node} does not reach ${what}`,
      begin: () => cluster.cutFrom(node, what),
      end: healNetwork(cluster),
    };
  },
  (cluster, random) =>
    pausing(
      chooseFrom(
        random,
        cluster.members.filter(({ name }) => name.startsWith('worker')),
      ),
    ),
  draws.paused,
  draws.killed,
  draws['node-killed'],
  draws.isolated,
];

export const drawLastingFault: Draw = (cluster, random) => chooseFrom(random, lastingDraws)(cluster, random);

const pausing = (member: Member): Fault => ({
  about: `${member.name} is paused`,
  begin: async () => member.pause(),
  end: async () => member.resume(),
});

function killing(members: Member[], about: string): Fault {
  return {
    about,
    async begin() {
      for (const member of members) {
        member.hold();
        member.kill();
      }
    },
    async end() {
      for (const member of members) member.release();
    },
  };
}
