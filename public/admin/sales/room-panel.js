/** The waiting room of a sale in the control room: who waits, the pace, and what staff can do. */

/** @import { RoomStatus, SaleSnapshot } from '../../../sale/contract.ts' */

import { element, show } from '../../shared/dom.js';
import { number } from '../../shared/format.js';
import { parseWhole } from '../../shared/money.js';
import { toast } from '../../shared/toast.js';
import { changeRoom, changeSale, fetchRoom, fetchRoomControl } from '../api.js';
import { action, factList, subheading } from '../components.js';

const states = {
  gathering: 'People gather until the opening',
  drawing: 'The places are being drawn',
  open: 'People are called in turn',
  paused: 'Paused: nobody is called',
  sold_out: 'Sold out: the next is called when something comes back',
  ended: 'Over',
};

/** @param {string} saleId @param {() => Promise<void>} reload */
export function roomPanel(saleId, reload) {
  const facts = element('div', {});
  const typed = { autocomplete: 'off' };
  const people = element('input', {
    ...{ ...typed, inputmode: 'numeric', value: '10', 'aria-label': 'How many more people to let in' },
    'data-testid': 'let-in-count',
  });
  const pace = element('input', {
    ...{ ...typed, inputmode: 'numeric', 'aria-label': 'People a minute, at most', placeholder: 'a minute' },
    'data-testid': 'room-pace',
  });
  const message = element('input', {
    ...{ ...typed, maxlength: '200', 'aria-label': 'Message to everybody who waits' },
    ...{ placeholder: 'Message to everybody who waits', 'data-testid': 'room-message' },
  });
  const change = async (/** @type {object} */ what, /** @type {string} */ done) => {
    await changeRoom(saleId, what);
    toast(done);
    await load();
  };
  const pause = action('Pause the room', () => change({ paused: true }, 'The room is paused'), {
    'data-testid': 'pause-room',
  });
  const resume = action('Resume the room', () => change({ paused: false }, 'The room goes on'), {
    'data-testid': 'resume-room',
  });
  const letIn = action(
    'Let more in',
    async () => {
      const more = parseWhole(people.value);
      await change({ letIn: more }, `${number(more)} more are let in`);
    },
    { 'data-testid': 'let-in' },
  );
  const setPace = action(
    'Set the pace',
    async () => {
      const roomPerMinute = parseWhole(pace.value);
      await changeSale(saleId, { roomPerMinute });
      toast(`At most ${number(roomPerMinute)} a minute`);
      await reload();
    },
    { 'data-testid': 'set-pace' },
  );
  const tell = action(
    'Tell them',
    () => change({ message: message.value.trim() || null }, message.value.trim() ? 'Told' : 'Taken back'),
    { 'data-testid': 'tell-room' },
  );
  const controls = element(
    'div',
    { class: 'actions room-controls', 'data-needs': 'admin' },
    ...[pause, resume],
    element('span', { class: 'adding' }, people, letIn),
    element('span', { class: 'adding' }, pace, setPace),
    element('span', { class: 'adding room-message' }, message, tell),
  );
  const root = element('section', { hidden: true }, subheading('Waiting room'), facts, controls);

  async function load() {
    /** @type {RoomStatus} */
    const room = await fetchRoom(saleId);
    // The sale may be paused besides, and the room may be paused before it opens.
    const { paused, extra, message: told } = await fetchRoomControl(saleId);
    /** @type {[string, string][]} */
    const lines = [
      ['Now', paused && room.state !== 'paused' ? `${states[room.state]} (room paused)` : states[room.state]],
      ['Waiting', number(room.waiting)],
      ['Called or inside', number(room.inside)],
      ['Called up to place', number(room.calledUpTo)],
      ['Places a minute lately', speed(room)],
      ['Units left', number(room.left)],
      ['To be let in besides', number(extra)],
      ['They read', told ?? '–'],
    ];
    const drawn = factList(lines, 'room-facts');
    if (!drawn.isEqualNode(facts.firstElementChild)) facts.replaceChildren(drawn);
    show(pause, !paused);
    show(resume, paused);
  }

  return {
    root,
    /** @param {SaleSnapshot} sale */
    async load({ mode, status, roomPerMinute }) {
      const isRoom = mode === 'room';
      show(root, isRoom);
      if (!isRoom) return;
      show(controls, status !== 'ended' && status !== 'called_off');
      if (document.activeElement !== pace && pace.value === '') pace.value = String(roomPerMinute ?? '');
      await load();
    },
  };
}

/** @param {RoomStatus} room */
function speed({ slowest, fastest }) {
  const [from, to] = [Math.round(slowest), Math.round(fastest)];
  return from === to ? number(to) : `${number(from)} to ${number(to)}`;
}
