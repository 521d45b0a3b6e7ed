import { Modal, Skeleton } from "@mantine/core";
import { useEffect, useRef } from "react";
import { Trouble } from "@/components/Trouble";
import { type Job, useLog } from "@/pages/train/jobs";
import classes from "@/pages/train/train.module.css";

/** What the training's process printed; its end comes first into view. */
export function JobLog({ project, job, onClose }: { project: string; job: Job | null; onClose: () => void }) {
  return (
    <Modal opened={job !== null} onClose={onClose} title={`Log of ${job?.name ?? ""}`} size="xl" centered>
      {job && <Text project={project} job={job} />}
    </Modal>
  );
}

function Text({ project, job }: { project: string; job: Job }) {
  const log = useLog(project, job);
  const box = useRef<HTMLPreElement>(null);
  useEffect(() => {
    if (box.current) box.current.scrollTop = box.current.scrollHeight;
  }, [log.data]);
  if (log.isPending) return <Skeleton h={200} aria-label="Loading" />;
  if (log.isError) return <Trouble error={log.error} retry={() => void log.refetch()} />;
  return (
    <pre ref={box} className={classes.log} tabIndex={0} aria-label="Log">
      {log.data || "It printed nothing."}
    </pre>
  );
}
