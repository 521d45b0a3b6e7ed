import { Anchor } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { api, take } from "@/api/client";
import { useDifference } from "@/api/datasets";
import { DatasetDrawer } from "@/components/DatasetDrawer";
import { count } from "@/components/words";

const CHANGES = ["added", "removed", "relabelled"] as const;

/** In one line: what a model learnt from, and what has changed since. Opens the images. */
export function SinceTrained({ project, job }: { project: string; job: string }) {
  const [isOpen, setOpen] = useState(false);
  const training = useQuery({
    queryKey: ["jobs", project, job],
    queryFn: () => take(api.GET("/studio/v1/projects/{project}/jobs/{job}", { params: { path: { project, job } } })),
  }).data;
  if (!training?.dataset) return null;
  return (
    <>
      <Anchor component="button" type="button" inherit ta="left" onClick={() => setOpen(true)}>
        {count(training.image_count ?? 0, "image")}
        <Since project={project} dataset={training.dataset} />
      </Anchor>
      <DatasetDrawer project={project} job={isOpen ? training : null} onClose={() => setOpen(false)} />
    </>
  );
}

function Since({ project, dataset }: { project: string; dataset: string }) {
  const told = useDifference(project, dataset, null, null).data?.pages[0];
  if (!told) return null;
  const changed = CHANGES.filter((kind) => told[kind] > 0).map((kind) => `${told[kind].toLocaleString("en")} ${kind}`);
  return <>{changed.length ? `; since then ${changed.join(", ")}` : ", unchanged since"}</>;
}
