/** The exports of a project, and what stands in a finished one. */
import { useMutation, useQuery } from "@tanstack/react-query";
import { api, take, type Schemas } from "@/api/client";
import { queries } from "@/api/queries";

export type Job = Schemas["Job"];

const WAITING: Job["state"][] = ["queued", "claimed", "running"];

export function isWaiting(job: Job): boolean {
  return WAITING.includes(job.state);
}

/** The newest first; looked at again and again while one is in the making. */
export function useExports(project: string) {
  return useQuery({
    queryKey: ["exports", project],
    refetchInterval: ({ state }) => (state.data?.some(isWaiting) ? 1500 : false),
    queryFn: async () =>
      (await take(api.GET("/studio/v1/projects/{project}/jobs", { params: { path: { project }, query: { kind: "export", limit: 100 } } }))).jobs,
  });
}

function again(project: string): Promise<void> {
  return queries.invalidateQueries({ queryKey: ["exports", project] });
}

export function useExport(project: string) {
  return useMutation({
    mutationFn: (body: Schemas["ExportInput"]) => take(api.POST("/studio/v1/projects/{project}/exports", { params: { path: { project } }, body })),
    onSuccess: () => again(project),
  });
}

export function useCancel(project: string) {
  return useMutation({
    mutationFn: (job: string) => take(api.POST("/studio/v1/projects/{project}/jobs/{job}/cancel", { params: { path: { project, job } } })),
    onSuccess: () => again(project),
  });
}

export function useRemove(project: string) {
  return useMutation({
    mutationFn: (job: string) => take(api.DELETE("/studio/v1/projects/{project}/jobs/{job}", { params: { path: { project, job } } })),
    onSuccess: () => again(project),
  });
}

/** Of a finished export. */
export function useBundle(project: string, job: string) {
  return useQuery({
    queryKey: ["exports", project, job],
    staleTime: 60_000,
    queryFn: () => take(api.GET("/studio/v1/projects/{project}/exports/{job}", { params: { path: { project, job } } })),
  });
}

/** Of a file of a finished export, for a link. */
export function fileAddress(project: string, job: string, what: "file" | "key" | "instructions"): string {
  return `/studio/v1/projects/${project}/exports/${job}/${what}`;
}
