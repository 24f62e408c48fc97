import { z } from 'zod';

/**
 * Shows nothing by itself: blanks, marks that combine, controls, characters of no meaning or of none yet, and what fonts
 * leave blank (the filler of Hangul is ignorable, the empty pattern of Braille and the null notehead are not).
 */
const unseen = /[\s\p{M}\p{C}\p{Default_Ignorable_Code_Point}\u2800\u{1d159}]/gu;

/** Breaks a line, controls a terminal, is half a character, or turns the direction of the text around it. */
const misleading = /[\p{Cc}\p{Zl}\p{Zp}\p{Cs}\u202a-\u202e\u2066-\u2069]/u;
/** The same for a text of several lines. */
const misleadingInLines = /(?![\t\n\r])[\p{Cc}\p{Cs}\u202a-\u202e\u2066-\u2069]/u;

const isSeen = (text: string) => text.replace(unseen, '') !== '';
const seen = { error: 'expected something that can be seen, got only characters that show nothing' };

function refusing(characters: RegExp, expected: string) {
  return {
    error({ input }: { input?: unknown }) {
      const [found = ''] = characters.exec(String(input)) ?? [];
      const code = found.codePointAt(0)?.toString(16).toUpperCase().padStart(4, '0');
      return `expected ${expected}, got U+${code}`;
    },
  };
}

/** What somebody or something is called: one line in which something can be seen, without blanks around it. */
export const name = (maxLength: number) =>
  z
    .string()
    .trim()
    .min(1)
    .max(maxLength)
    .refine(isSeen, seen)
    .refine(
      (text) => !misleading.test(text),
      refusing(
        misleading,
        'one line without control characters and without changes of the writing direction',
      ),
    )
    .meta({ pattern: '\\S' });

/** A text of several lines, or none. */
export const prose = (maxLength: number) =>
  z
    .string()
    .max(maxLength)
    .refine((text) => text === '' || isSeen(text), seen)
    .refine(
      (text) => !misleadingInLines.test(text),
      refusing(
        misleadingInLines,
        'lines without control characters and without changes of the writing direction',
      ),
    );
