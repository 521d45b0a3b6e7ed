import { useEffect, useState } from "react";
import { tellError } from "@/components/tell";
import classes from "@/pages/images/images.module.css";
import { type Found, foundIn } from "@/pages/images/upload/gather";

/** The whole page takes files; while some are held over it, it says so. */
export function DropTarget({ onFound }: { onFound: (found: Found[]) => void }) {
  const [isOver, setOver] = useState(false);
  useEffect(() => {
    let depth = 0; // of elements that were entered and not left
    const hasFiles = (event: DragEvent) => event.dataTransfer?.types.includes("Files") ?? false;
    function onEnter(event: DragEvent): void {
      if (!hasFiles(event)) return;
      event.preventDefault();
      depth += 1;
      setOver(true);
    }
    function onOver(event: DragEvent): void {
      if (hasFiles(event)) event.preventDefault();
    }
    function onLeave(event: DragEvent): void {
      if (hasFiles(event)) setOver((depth -= 1) > 0);
    }
    function onDrop(event: DragEvent): void {
      depth = 0;
      setOver(false);
      if (!event.dataTransfer || !hasFiles(event)) return;
      event.preventDefault();
      foundIn(event.dataTransfer).then((found) => found.length > 0 && onFound(found), tellError);
    }
    const table = { dragenter: onEnter, dragover: onOver, dragleave: onLeave, drop: onDrop } as const;
    for (const [name, listener] of Object.entries(table)) window.addEventListener(name as "drop", listener);
    return () => {
      for (const [name, listener] of Object.entries(table)) window.removeEventListener(name as "drop", listener);
    };
  }, [onFound]);
  return isOver ? <div className={classes.drop}>Drop photos, folders or zips</div> : null;
}
