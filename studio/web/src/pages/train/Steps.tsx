import { Progress, Tooltip } from "@mantine/core";
import { IconCheck } from "@tabler/icons-react";
import { type Job } from "@/pages/train/jobs";
import { stageWords, stepOf, STEPS } from "@/pages/train/stages";
import classes from "@/pages/train/train.module.css";

/** The four steps of a training as one bar. */
export function Steps({ job }: { job: Job }) {
  const { step: now, done } = stepOf(job);
  return (
    <ol className={classes.steps} aria-label={stageWords(job)}>
      {STEPS.map(({ name, about, share }, place) => {
        const isNow = place === now;
        const value = place < now ? 100 : isNow ? (done === null ? 100 : done * 100) : 0;
        return (
          <li key={name} className={classes.step} data-now={isNow || undefined} aria-current={isNow ? "step" : undefined} style={{ flex: share }}>
            <Progress.Root size="lg" radius="sm">
              <Progress.Section
                value={value}
                color={place < now ? "teal" : undefined}
                animated={isNow && done === null}
                striped={isNow && done === null}
                aria-label={`${name}: ${Math.round(isNow && done === null ? 0 : value)} %`}
              />
            </Progress.Root>
            <Tooltip label={about}>
              <span className={classes.stepName}>
                {place < now && <IconCheck size={12} aria-hidden />}
                {name}
              </span>
            </Tooltip>
          </li>
        );
      })}
    </ol>
  );
}
