/** HTML that is safe to insert, because every text in it was escaped. */
export class Html {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
}

type Part = string | Html | Html[];

const entities: Record<string, string> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

const textOf = (part: Part): string => {
  if (Array.isArray(part)) return part.map(textOf).join('');
  return part instanceof Html
    ? part.text
    : part.replace(/[&<>"']/g, (character) => entities[character] as string);
};

/** A template literal whose texts are escaped. */
export const html = (literals: TemplateStringsArray, ...parts: Part[]): Html =>
  new Html(literals.map((literal, at) => literal + textOf(parts[at] ?? '')).join(''));

/** Values of a page's placeholders by name. */
export type Values = Record<string, string | Html>;

/** Fills in the placeholders `{{name}}` that have a value, with every text escaped. */
export const fill = (template: string, values: Values): string =>
  template.replace(/\{\{([\w.-]+)\}\}/g, (placeholder, name: string) =>
    Object.hasOwn(values, name) ? textOf(values[name] as Part) : placeholder,
  );
