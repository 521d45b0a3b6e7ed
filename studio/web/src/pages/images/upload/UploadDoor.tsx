import { type Ref, useCallback, useImperativeHandle, useRef, useState } from "react";
import { LabelFile } from "@/pages/images/LabelFile";
import { DropTarget } from "@/pages/images/upload/DropTarget";
import { type Found, foundOf, isLabelFile } from "@/pages/images/upload/gather";
import { UploadDialog } from "@/pages/images/upload/UploadDialog";

/** The ways in. */
export interface Door {
  files: () => void;
  folder: () => void;
  camera: () => void;
  labelFile: () => void;
}

interface Props {
  door: Ref<Door>;
  project: string;
  mayUpload: boolean;
  mayLabel: boolean;
}

/** Where files come in, however they do, and what is asked of each. */
export function UploadDoor({ door, project, mayUpload, mayLabel }: Props) {
  const [found, setFound] = useState<Found[] | null>(null);
  const [labelFile, setLabelFile] = useState<{ given: File | null } | null>(null);
  const [files, folder, camera] = [useRef<HTMLInputElement>(null), useRef<HTMLInputElement>(null), useRef<HTMLInputElement>(null)];

  useImperativeHandle(door, () => ({
    files: () => files.current?.click(),
    folder: () => folder.current?.click(),
    camera: () => camera.current?.click(),
    labelFile: () => setLabelFile({ given: null }),
  }));

  const onFound = useCallback((given: Found[]) => {
    const [first] = given;
    if (first && given.length === 1 && isLabelFile(first.file)) setLabelFile({ given: first.file });
    else if (given.length > 0) setFound(given);
  }, []);

  function choose(input: HTMLInputElement): void {
    onFound(foundOf(input.files ?? []));
    input.value = ""; // so that the same choice is one again
  }

  return (
    <>
      {mayUpload && (
        <>
          <DropTarget onFound={onFound} />
          <input ref={files} type="file" multiple hidden accept="image/*,.zip,application/zip" aria-label="Files to upload" onChange={(event) => choose(event.currentTarget)} />
          <input ref={folder} type="file" hidden aria-label="Folder to upload" {...{ webkitdirectory: "" }} onChange={(event) => choose(event.currentTarget)} />
          <input ref={camera} type="file" hidden accept="image/*" capture="environment" aria-label="Photo to take" onChange={(event) => choose(event.currentTarget)} />
        </>
      )}
      {found && <UploadDialog project={project} found={found} mayLabel={mayLabel} onClose={() => setFound(null)} />}
      {labelFile && <LabelFile project={project} given={labelFile.given} onClose={() => setLabelFile(null)} />}
    </>
  );
}
