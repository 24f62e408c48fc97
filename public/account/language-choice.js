/** The language that the reader chose, in a cookie, because the server makes the pages. */

/** Takes effect with the next page. @param {string} wished */
export function chooseLanguage(wished) {
  // biome-ignore lint/suspicious/noDocumentCookie: not every browser has the Cookie Store API.
  document.cookie = `stampede_language=${wished}; Path=/; Max-Age=31536000; SameSite=Lax`;
}

const CHOSEN_EARLIER = 'stampede.language';

/** A version before kept the choice where the server does not see it. */
export function keepEarlierChoice() {
  try {
    const chosen = localStorage.getItem(CHOSEN_EARLIER);
    if (chosen) chooseLanguage(chosen);
    localStorage.removeItem(CHOSEN_EARLIER);
  } catch {
    // Without storage, which a browser may block, there was no choice.
  }
}
