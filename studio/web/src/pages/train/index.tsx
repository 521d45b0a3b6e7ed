import { Button, Container, Group, Skeleton, Stack } from "@mantine/core";
import { IconPhotoPlus, IconTags } from "@tabler/icons-react";
import { useEffect, useRef, useState } from "react";
import { Link } from "react-router";
import { useCounts, useLabels } from "@/api/labels";
import { queries } from "@/api/queries";
import { useMay, useProjectId } from "@/api/session";
import { Empty } from "@/components/Empty";
import { PageHead } from "@/components/PageHead";
import { Trouble } from "@/components/Trouble";
import { EndedJobs } from "@/pages/train/EndedJobs";
import { BLANK, formOf, goalOf, type TrainForm as Form } from "@/pages/train/form";
import { type Job, useActive, useEnded } from "@/pages/train/jobs";
import { QueuePanel } from "@/pages/train/QueuePanel";
import { RunningJob } from "@/pages/train/RunningJob";
import { TrainForm } from "@/pages/train/TrainForm";

/** What runs first, then what waits, then the form, then what has ended. */
export default function Page() {
  const project = useProjectId();
  const mayTrain = useMay("train");
  const labels = useLabels(project);
  const counts = useCounts(project);
  const active = useActive(project);
  const ended = useEnded(project);
  const [changed, setChanged] = useState<Partial<Form>>({});
  const top = useRef<HTMLDivElement>(null);
  const formPlace = useRef<HTMLDivElement>(null);
  useEffect(() => setChanged({}), [project]);
  useRefreshWhenEnded(project, active.data);

  const trouble = labels.error ?? counts.error ?? active.error;
  if (trouble) return <Trouble error={trouble} retry={() => void Promise.all([labels.refetch(), counts.refetch(), active.refetch()])} />;
  if (!labels.data || !counts.data || !active.data) {
    return (
      <Container size={1280} px={0}>
        <PageHead title="Train" />
        <Skeleton h={420} radius="lg" aria-label="Loading" />
      </Container>
    );
  }

  const panel = labels.data.map((label) => label.name);
  const form: Form = { ...BLANK, goal: goalOf(counts.data), ...changed };
  const former = (ended.data?.pages[0]?.jobs.length ?? 0) + active.data.length;
  const running = active.data.filter((job) => job.state !== "queued");
  const isBare = counts.data.images === counts.data.unlabelled;

  function again(job: Job): void {
    if (job.training) setChanged(formOf(job.name, job.training, panel));
    formPlace.current?.scrollIntoView({ behavior: "smooth" });
    formPlace.current?.querySelector("input")?.focus({ preventScroll: true });
  }

  return (
    <Container size={1280} px={0} ref={top}>
      <PageHead title="Train" about="A model learns your labels from the images, on this machine." />
      <Stack gap="lg">
        {running.map((job) => (
          <RunningJob key={job.id} project={project} job={job} mayTrain={mayTrain} />
        ))}
        <QueuePanel project={project} active={active.data} mayTrain={mayTrain} />
        {isBare && <Bare project={project} hasImages={counts.data.images > 0} />}
        {!isBare && mayTrain && (
          <div ref={formPlace}>
            <TrainForm
              project={project}
              labels={labels.data}
              counts={counts.data}
              form={form}
              change={(more) => setChanged((before) => ({ ...before, ...more }))}
              suggested={`Model ${former + 1}`}
              mayTrain={mayTrain}
              onQueued={() => top.current?.scrollIntoView({ behavior: "smooth" })}
            />
          </div>
        )}
        <EndedJobs project={project} mayTrain={mayTrain} onAgain={again} />
      </Stack>
    </Container>
  );
}

/** Of a project of which nothing can be learnt yet. */
function Bare({ project, hasImages }: { project: string; hasImages: boolean }) {
  return (
    <Empty icon={hasImages ? IconTags : IconPhotoPlus} title={hasImages ? "No image has a label yet" : "There are no images yet"}>
      <>
        <span>
          {hasImages
            ? "A model learns from labelled images: 15 or more of each of at least two labels make a start."
            : "Upload some first. Photos in folders get the folders' names as their labels."}
        </span>
        <Group>
          <Button component={Link} to={`/p/${project}/images`} variant="light">
            {hasImages ? "Label images" : "Upload images"}
          </Button>
        </Group>
      </>
    </Empty>
  );
}

/** A job that is not among those that run any more has ended: lists of what has ended are old then. */
function useRefreshWhenEnded(project: string, active: Job[] | undefined): void {
  const before = useRef<string[]>([]);
  useEffect(() => {
    if (!active) return;
    const ids = active.map((job) => job.id);
    if (before.current.some((id) => !ids.includes(id))) {
      void queries.invalidateQueries({ queryKey: ["jobs", project, "ended"] });
      void queries.invalidateQueries({ queryKey: ["models", project] });
      void queries.invalidateQueries({ queryKey: ["datasets", project] });
    }
    before.current = ids;
  }, [project, active]);
}
