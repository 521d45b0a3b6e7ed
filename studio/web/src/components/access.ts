/** What roles, privileges and scopes mean, in words. The tables themselves are the studio's (docs/studio.md). */
import type { Schemas } from "@/api/client";

export type ProjectRole = Schemas["NewMember"]["role"];
export type InstallRole = Schemas["Me"]["role"];
export type Privilege = Schemas["Project"]["privileges"][number];
export type Scope = Schemas["NewToken"]["scopes"][number];

interface Meaning<T> {
  value: T;
  label: string;
  about: string;
}

export const PROJECT_ROLES: Meaning<ProjectRole>[] = [
  { value: "viewer", label: "Viewer", about: "Looks at images, labels and models; changes nothing." },
  { value: "labeller", label: "Labeller", about: "Also labels images, and tries models on photos." },
  { value: "editor", label: "Editor", about: "Also uploads and removes images, edits the labels, trains and downloads models." },
  { value: "owner", label: "Owner", about: "Also shares the project, renames it and deletes it." },
];

/** Those that can be given to a member beside their role; `own` comes with the role of owner alone. */
export const EXTRA_PRIVILEGES: Meaning<Privilege>[] = [
  { value: "label", label: "Label", about: "put labels on images and take them off" },
  { value: "predict", label: "Predict", about: "try models on photos" },
  { value: "upload", label: "Upload", about: "add images" },
  { value: "remove", label: "Remove", about: "remove images for good" },
  { value: "edit_labels", label: "Edit labels", about: "add, rename, merge and remove labels" },
  { value: "train", label: "Train", about: "start and stop trainings" },
  { value: "download", label: "Download", about: "export models and download them" },
  { value: "share", label: "Share", about: "add and remove members" },
];

/** What each role has already: as `OF_PROJECT_ROLE` of the studio. */
export const OF_PROJECT_ROLE: Record<ProjectRole, Privilege[]> = {
  viewer: ["view"],
  labeller: ["view", "label", "predict"],
  editor: ["view", "label", "predict", "upload", "remove", "edit_labels", "train", "download"],
  owner: ["view", "label", "predict", "upload", "remove", "edit_labels", "train", "download", "share", "own"],
};

export const INSTALL_ROLES: Meaning<InstallRole>[] = [
  { value: "guest", label: "Guest", about: "Sees what is shared with them; makes no projects." },
  { value: "member", label: "Member", about: "Makes projects of their own, and shares them." },
  { value: "admin", label: "Admin", about: "Also manages users, reads the audit log and opens every project." },
];

export const SCOPES: Meaning<Scope>[] = [
  { value: "read", label: "Read", about: "look at projects, images, labels and statistics" },
  { value: "label", label: "Label", about: "read, and put labels on images" },
  { value: "write", label: "Write", about: "label, upload and remove images, edit labels, make and change projects" },
  { value: "train", label: "Train", about: "read, start trainings, export and download models" },
  { value: "predict", label: "Predict", about: "ask trained models for predictions, and nothing else" },
  { value: "admin", label: "Everything", about: "all that you may do yourself" },
];

export function labelOf<T extends string>(meanings: Meaning<T>[], value: T): string {
  return meanings.find((each) => each.value === value)?.label ?? value;
}
