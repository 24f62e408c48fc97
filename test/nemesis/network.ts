import { run } from '../../ops/local/processes/process.mjs';

/** A network of our own: one namespace for each node, joined by a bridge, on which packets can be dropped or slowed. */
export interface Network {
  /** @param node from 1 on. */
  addressOf(node: number): string;
  /** The command and arguments that run a program on a node. */
  on(node: number, command: string, args: string[]): [string, string[]];
  /** Packets of `from` do not reach `to` any more. The clients are node 0. */
  cut(from: number, to: number): Promise<void>;
  /** The node does not reach this TCP port of any other. */
  cutPort(node: number, port: number): Promise<void>;
  /** The node loses this share of what is sent to it, in percent. */
  lose(node: number, percent: number): Promise<void>;
  /** The node sends at most so many bits a second. */
  slow(node: number, bitsPerSecond: number): Promise<void>;
  /** Ends all that was done to the network. */
  heal(): Promise<void>;
}

const deadlineMs = 10_000;

/** @throws Error with the program's output when it fails. */
export async function execute(command: string, ...args: string[]): Promise<void> {
  const { ok, output } = await run(command, args, { deadlineMs });
  if (!ok) throw new Error(`${command} ${args.join(' ')}: ${output.trim()}`);
}

const bridge = 'nemesis';
const namespaceOf = (node: number) => `node-${node}`;
const addressOf = (node: number) => `10.0.0.${node || 254}`;

/**
 * Must run as root in a network and mount namespace of its own (see main.ts), so that nothing outside is touched and nothing
 * is left at the end.
 */
export async function openNetwork(nodes: number): Promise<Network> {
  const inside = (node: number, ...args: string[]) =>
    execute('ip', 'netns', 'exec', namespaceOf(node), ...args);
  const all = Array.from({ length: nodes }, (_, n) => n + 1);

  // `ip netns` keeps its names in /run/netns.
  await execute('mount', '-t', 'tmpfs', 'namespaces', '/run');
  await execute('ip', 'link', 'set', 'lo', 'up');
  await execute('ip', 'link', 'add', bridge, 'type', 'bridge');
  await execute('ip', 'address', 'add', `${addressOf(0)}/24`, 'dev', bridge);
  await execute('ip', 'link', 'set', bridge, 'up');
  for (const node of all) {
    const cable = `cable-${node}`;
    await execute('ip', 'netns', 'add', namespaceOf(node));
    await execute(
      'ip',
      'link',
      'add',
      cable,
      'type',
      'veth',
      'peer',
      'name',
      'eth0',
      'netns',
      namespaceOf(node),
    );
    await execute('ip', 'link', 'set', cable, 'master', bridge, 'up');
    await inside(node, 'ip', 'link', 'set', 'lo', 'up');
    await inside(node, 'ip', 'address', 'add', `${addressOf(node)}/24`, 'dev', 'eth0');
    await inside(node, 'ip', 'link', 'set', 'eth0', 'up');
    await inside(node, 'nft', 'add table inet faults');
    await inside(node, 'nft', 'add chain inet faults input { type filter hook input priority 0; }');
  }
  /** The clients have no namespace of their own, so what a node sends to them is dropped as it leaves the node. */
  for (const node of all)
    await inside(node, 'nft', 'add chain inet faults output { type filter hook output priority 0; }');

  const slowed = new Set<number>();
  return {
    addressOf,
    on: (node, command, args) => ['ip', ['netns', 'exec', namespaceOf(node), command, ...args]],
    cut: (from, to) =>
      to === 0
        ? inside(from, 'nft', `add rule inet faults output ip daddr ${addressOf(0)} drop`)
        : inside(to, 'nft', `add rule inet faults input ip saddr ${addressOf(from)} drop`),
    async cutPort(node, port) {
      await inside(node, 'nft', `add rule inet faults output tcp dport ${port} oifname eth0 drop`);
      await inside(node, 'nft', `add rule inet faults input tcp sport ${port} iifname eth0 drop`);
    },
    lose: (node, percent) =>
      inside(node, 'nft', `add rule inet faults input iifname eth0 numgen random mod 100 < ${percent} drop`),
    async slow(node, bitsPerSecond) {
      slowed.add(node);
      const rate = `${bitsPerSecond}bit`;
      await inside(
        node,
        'tc',
        ...'qdisc replace dev eth0 root tbf burst 16kb latency 400ms rate'.split(' '),
        rate,
      );
    },
    async heal() {
      await Promise.all(all.map((node) => inside(node, 'nft', 'flush table inet faults')));
      for (const node of slowed) await inside(node, 'tc', 'qdisc', 'del', 'dev', 'eth0', 'root');
      slowed.clear();
    },
  };
}
