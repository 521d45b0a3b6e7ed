/** What a line of the audit log says, in words. Actions that are not here are shown as they are. */

export const AREAS = [
  { value: "session", label: "Signing in and out" },
  { value: "password", label: "Passwords" },
  { value: "user", label: "Users" },
  { value: "token", label: "API tokens" },
  { value: "project", label: "Projects and sharing" },
  { value: "images", label: "Removed images" },
  { value: "studio", label: "The studio itself" },
];

const WORDS: Record<string, string> = {
  "studio.set_up": "set up the studio",
  "session.opened": "signed in",
  "session.refused": "wrong password for",
  "session.closed": "signed out",
  "password.chosen": "chose a password by a link",
  "password.changed": "changed the password",
  "password.link_made": "made a link for a new password for",
  "user.invited": "invited",
  "user.changed": "changed the user",
  "user.deleted": "deleted the user",
  "token.made": "made the token",
  "token.revoked": "revoked the token",
  "project.made": "made the project",
  "project.renamed": "renamed a project to",
  "project.deleted": "deleted the project",
  "project.shared": "shared a project with",
  "project.unshared": "stopped sharing a project with",
  "images.removed": "removed images from",
};

/** Of one's own doing, where the subject says nothing more. */
const WITHOUT_SUBJECT = new Set(["session.opened", "session.closed", "password.chosen", "password.changed", "studio.set_up"]);

export function wordsOfAction(action: string): string {
  return WORDS[action] ?? action;
}

export function showsSubject(action: string): boolean {
  return !WITHOUT_SUBJECT.has(action);
}

/** "role: editor; privileges: train, share". Empty where there are none. */
export function wordsOfDetails(details: Record<string, unknown>): string {
  return Object.entries(details)
    .filter(([, value]) => !(Array.isArray(value) && value.length === 0))
    .map(([name, value]) => `${name}: ${wordsOfValue(value)}`)
    .join("; ");
}

function wordsOfValue(value: unknown): string {
  if (Array.isArray(value)) return value.map(wordsOfValue).join(", ");
  if (typeof value === "boolean") return value ? "yes" : "no";
  return typeof value === "object" && value !== null ? JSON.stringify(value) : String(value);
}
