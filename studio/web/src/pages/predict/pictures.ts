/** What is to be predicted: files from this machine, or images of the project. */
import { imageAddress } from "@/components/addresses";

export interface Picture {
  id: string;
  name: string;
  /** For `<img src>`. */
  address: string;
  /** Where it is a file of this machine. */
  file?: File;
  /** Where it is an image of the project: its id. */
  image?: string;
}

let made = 0;

export function ofFile(file: File): Picture {
  made += 1;
  const path = (file as File & { path?: string }).path ?? file.webkitRelativePath; // of a folder that was dropped, or chosen
  return { id: `file ${made}`, name: (path || file.name).replace(/^\.?\//, ""), address: URL.createObjectURL(file), file };
}

export function ofImage(project: string, image: string): Picture {
  return { id: `image ${image}`, name: "", address: imageAddress(project, image), image };
}

export function letGo(pictures: Picture[]): void {
  for (const { file, address } of pictures) if (file) URL.revokeObjectURL(address);
}
