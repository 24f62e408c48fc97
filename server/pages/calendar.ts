import { saleName } from '../../public/shared/items.js';
import type { SaleSnapshot } from '../../sale/contract.ts';

/** How long before the opening a calendar reminds. */
const remindBeforeMinutes = 10;

const inUtc = (at: string) => `${at.replace(/[-:]|\.\d+/g, '')}`;
const escaped = (text: string) => text.replace(/[\\;,]/g, '\\$&').replace(/\r?\n/g, '\\n');

/** A line of at most 75 octets; a longer one goes on in the next line, behind a space. */
function folded(line: string): string {
  const lines = [''];
  for (const character of line) {
    const isFull = Buffer.byteLength(lines.at(-1) + character) > 74;
    if (isFull) lines.push(character);
    else lines[lines.length - 1] += character;
  }
  return lines.join('\r\n ');
}

/** The opening of a sale as a calendar file (RFC 5545), with a reminder. @param url of the sale's page. */
export function calendarOf(sale: SaleSnapshot, url: string): string {
  const name = escaped(saleName(sale));
  const lines = [
    'BEGIN:VCALENDAR',
    'VERSION:2.0',
    'PRODID:-//Stampede//Sale//EN',
    'BEGIN:VEVENT',
    `UID:${sale.id}@${new URL(url).hostname}`,
    `DTSTAMP:${inUtc(sale.serverTime)}`,
    `DTSTART:${inUtc(sale.opensAt)}`,
    `DTEND:${inUtc(sale.closesAt)}`,
    `SUMMARY:${name}`,
    `URL:${url}`,
    `DESCRIPTION:${escaped(url)}`,
    'BEGIN:VALARM',
    'ACTION:DISPLAY',
    `TRIGGER:-PT${remindBeforeMinutes}M`,
    `DESCRIPTION:${name}`,
    'END:VALARM',
    'END:VEVENT',
    'END:VCALENDAR',
  ];
  return lines.map((line) => `${folded(line)}\r\n`).join('');
}
