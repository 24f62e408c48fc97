/** The waiting room of a sale in the control room: who waits, the pace, and what staff can do. */

/** @import { RoomStatus, SaleSnapshot } from '../../../sale/contract.ts' */

import { element, show } from '../../shared/dom.js';
import { number } from '../../shared/format.js';
import { parseWhole } from '../../shared/money.js';
import { toast } from '../../shared/toast.js';
import { changeRoom, changeSale, fetchRoom, fetchRoomControl } from '../api.js';
import { action, factList, subheading } from '../components.js';
import { texts } from '../texts.js';

/** @param {string} saleId @param {() => Promise<void>} reload */
export function roomPanel(saleId, reload) {
  const { roomPanel: t } = texts;
  const facts = element('div', {});
  const typed = { autocomplete: 'off' };
  const people = element('input', {
    ...{ ...typed, inputmode: 'numeric', value: '10', 'aria-label': t.howMany },
    'data-testid': 'let-in-count',
  });
  const pace = element('input', {
    ...{ ...typed, inputmode: 'numeric', 'aria-label': t.pace, placeholder: t.aMinute },
    'data-testid': 'room-pace',
  });
  const inside = element('input', {
    ...{ ...typed, inputmode: 'numeric', 'aria-label': t.mostInside },
    'data-testid': 'room-inside',
  });
  /** The site in front of which the room stands. @type {SaleSnapshot['site']} */
  let site;
  const message = element('input', {
    ...{ ...typed, maxlength: '200', 'aria-label': t.message },
    ...{ placeholder: t.message, 'data-testid': 'room-message' },
  });
  const change = async (/** @type {object} */ what, /** @type {string} */ done) => {
    await changeRoom(saleId, what);
    toast(done);
    await load();
  };
  const pause = action(t.pause, () => change({ paused: true }, t.paused), {
    'data-testid': 'pause-room',
  });
  const resume = action(t.resume, () => change({ paused: false }, t.resumed), {
    'data-testid': 'resume-room',
  });
  const letIn = action(
    t.letIn,
    async () => {
      const more = parseWhole(people.value);
      await change({ letIn: more }, t.letInDone(more));
    },
    { 'data-testid': 'let-in' },
  );
  const setPace = action(
    t.setPace,
    async () => {
      const roomPerMinute = parseWhole(pace.value);
      await changeSale(saleId, { roomPerMinute });
      toast(t.paceSet(roomPerMinute));
      await reload();
    },
    { 'data-testid': 'set-pace' },
  );
  const setInside = action(
    t.setInside,
    async () => {
      const people = parseWhole(inside.value);
      await changeSale(saleId, { site: { ...site, inside: people } });
      toast(t.insideSet(people));
      await reload();
    },
    { 'data-testid': 'set-inside' },
  );
  const ofSite = element('span', { class: 'adding' }, inside, setInside);
  const tell = action(
    t.tell,
    () => change({ message: message.value.trim() || null }, message.value.trim() ? t.told : t.takenBack),
    { 'data-testid': 'tell-room' },
  );
  const controls = element(
    'div',
    { class: 'actions room-controls', 'data-needs': 'admin' },
    ...[pause, resume],
    element('span', { class: 'adding' }, people, letIn),
    element('span', { class: 'adding' }, pace, setPace),
    ofSite,
    element('span', { class: 'adding room-message' }, message, tell),
  );
  const root = element('section', { hidden: true }, subheading(t.title), facts, controls);

  async function load() {
    /** @type {RoomStatus} */
    const room = await fetchRoom(saleId);
    // The sale may be paused besides, and the room may be paused before it opens.
    const { paused, extra, message: told } = await fetchRoomControl(saleId);
    /** @type {[string, string][]} */
    const lines = [
      [t.now, paused && room.state !== 'paused' ? t.alsoPaused(t.states[room.state]) : t.states[room.state]],
      [t.waiting, number(room.waiting)],
      [t.inside, number(room.inside)],
      [t.calledUpTo, number(room.calledUpTo)],
      [t.speed, speed(room)],
      ...(site ? [] : [/** @type {[string, string]} */ ([t.left, number(room.left)])]),
      [t.extra, number(extra)],
      [t.theyRead, told ?? '–'],
    ];
    const drawn = factList(lines, 'room-facts', true);
    if (!drawn.isEqualNode(facts.firstElementChild)) facts.replaceChildren(drawn);
    show(pause, !paused);
    show(resume, paused);
  }

  return {
    root,
    /** @param {SaleSnapshot} sale */
    async load({ mode, status, roomPerMinute, site: now }) {
      const isRoom = mode === 'room';
      show(root, isRoom);
      if (!isRoom) return;
      show(controls, status !== 'ended' && status !== 'called_off');
      if (document.activeElement !== pace && pace.value === '') pace.value = String(roomPerMinute ?? '');
      site = now;
      show(ofSite, site !== undefined);
      if (document.activeElement !== inside && inside.value === '') inside.value = String(site?.inside ?? '');
      await load();
    },
  };
}

/** @param {RoomStatus} room */
function speed({ slowest, fastest }) {
  const [from, to] = [Math.round(slowest), Math.round(fastest)];
  return from === to ? number(to) : texts.roomPanel.range(from, to);
}
