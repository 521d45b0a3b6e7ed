/** How well a new password would hold, in words: a hint, no more. What is refused is the studio's to say. */

export const LEAST_CHARACTERS = 10;

export interface Strength {
  /** 0 to 100. */
  value: number;
  word: string;
  colour: string;
  /** What would make it better; empty where nothing need. */
  hint: string;
}

/** known: what others know of this person, such as the e-mail address. */
export function strengthOf(password: string, known: string[] = []): Strength {
  const characters = [...password];
  const missing = LEAST_CHARACTERS - characters.length;
  if (missing > 0) {
    const hint = `${missing} more ${missing === 1 ? "character" : "characters"}. A few words in a row are easy to remember.`;
    return { value: (characters.length / LEAST_CHARACTERS) * 25, word: "Too short", colour: "red", hint };
  }
  const different = new Set(characters).size;
  if (different < 3) return { value: 10, word: "Too simple", colour: "red", hint: "Use more than two different characters." };
  if (known.some((one) => one.length >= 4 && password.toLowerCase().includes(one.toLowerCase()))) {
    return { value: 35, word: "Easy to guess", colour: "orange", hint: "Leave your name and address out of it." };
  }
  const kinds = [/\p{Ll}/u, /\p{Lu}/u, /\p{N}/u, /[^\p{L}\p{N}]/u].filter((kind) => kind.test(password)).length;
  // Repeated characters count half; each further kind of character counts as two more characters.
  const worth = (different + characters.length) / 2 + 2 * (kinds - 1);
  if (worth < 12) return { value: 45, word: "Fair", colour: "yellow", hint: "Longer is better: add a word." };
  if (worth < 17) return { value: 70, word: "Good", colour: "teal", hint: "" };
  return { value: 100, word: "Strong", colour: "green", hint: "" };
}
