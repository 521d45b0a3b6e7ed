/** Files to upload: dropped ones with all that is in their folders, or chosen ones; with the path of each. */

export interface Found {
  file: File;
  /** As the image will be called: below the folder that was dropped or chosen. */
  path: string;
}

const OF_SYSTEMS = new Set(["thumbs.db", "desktop.ini", "__macosx"]);

/** What systems leave in folders: hidden files and folders, previews. */
function isWanted(path: string): boolean {
  return !path.split("/").some((part) => part.startsWith(".") || OF_SYSTEMS.has(part.toLowerCase()));
}

export function isArchive({ name, type }: File): boolean {
  return /\.zip$/i.test(name) || type === "application/zip" || type === "application/x-zip-compressed";
}

export function isLabelFile({ name }: File): boolean {
  return /\.(csv|json)$/i.test(name);
}

const { compare } = new Intl.Collator("en", { numeric: true });

/** A folder's files come in no order; 2.jpg is before 10.jpg. */
function inOrder(found: Found[]): Found[] {
  return found.sort((one, other) => compare(one.path, other.path));
}

export function foundOf(files: Iterable<File>): Found[] {
  const found = [...files].map((file) => ({ file, path: file.webkitRelativePath || file.name }));
  return inOrder(found.filter(({ path }) => isWanted(path)));
}

/** Call it in the event itself: what was dropped is gone a moment later. */
export async function foundIn(transfer: DataTransfer): Promise<Found[]> {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.() ?? null);
  const plain = [...transfer.files];
  if (!entries.some((entry) => entry !== null)) return foundOf(plain);
  const lists = await Promise.all(entries.map((entry) => (entry ? walk(entry) : [])));
  return inOrder(lists.flat());
}

async function walk(entry: FileSystemEntry): Promise<Found[]> {
  const path = entry.fullPath.replace(/^\//, "");
  if (!isWanted(path)) return [];
  if (entry.isFile) {
    const file = await new Promise<File>((resolve, reject) => (entry as FileSystemFileEntry).file(resolve, reject));
    return [{ file, path }];
  }
  const reader = (entry as FileSystemDirectoryEntry).createReader();
  const found: Found[] = [];
  for (;;) {
    // A reader gives a hundred at most each time, and none at the end.
    const some = await new Promise<FileSystemEntry[]>((resolve, reject) => reader.readEntries(resolve, reject));
    if (some.length === 0) return found;
    for (const list of await Promise.all(some.map(walk))) found.push(...list);
  }
}

/** How many files a zip says it has; null where it cannot be told cheaply. Read from its end alone. */
export async function entriesOf(file: File): Promise<number | null> {
  const tail = new DataView(await file.slice(-65_557).arrayBuffer());
  for (let at = tail.byteLength - 22; at >= 0; at--) {
    if (tail.getUint32(at, true) === 0x06054b50) {
      const entries = tail.getUint16(at + 10, true);
      return entries === 0xffff ? null : entries;
    }
  }
  return null;
}

export async function sha256Of(file: File): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", await file.arrayBuffer()));
  return [...digest].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
