/** What the page asks and tells the studio about jobs. */
import { keepPreviousData, useInfiniteQuery, useMutation, useQuery } from "@tanstack/react-query";
import { api, take, type Schemas } from "@/api/client";
import { queries } from "@/api/queries";
import { tell } from "@/components/tell";

export type Job = Schemas["Job"];
export type TrainingInput = Schemas["TrainingInput"];
export type ReadOut = Schemas["ReadOut"];

const WAITING: Job["state"][] = ["queued", "claimed", "running"];
const ENDED: Job["state"][] = ["done", "failed", "cancelled"];
const RUNNING_MS = 1_500;
const QUIET_MS = 10_000;

/** Trainings that run or wait, in the queue's order; asked for again and again while there are some. */
export function useActive(project: string) {
  return useQuery({
    queryKey: ["jobs", project, "active"],
    queryFn: async () => {
      const query = { kind: "training" as const, state: WAITING, limit: 200 };
      const page = await take(api.GET("/studio/v1/projects/{project}/jobs", { params: { path: { project }, query } }));
      return page.jobs.reverse();
    },
    refetchInterval: ({ state }) => (state.data?.length ? RUNNING_MS : QUIET_MS),
  });
}

/** Trainings that have ended, the newest first. */
export function useEnded(project: string) {
  return useInfiniteQuery({
    queryKey: ["jobs", project, "ended"],
    queryFn: ({ pageParam }) => {
      const query = { kind: "training" as const, state: ENDED, limit: 20, after: pageParam };
      return take(api.GET("/studio/v1/projects/{project}/jobs", { params: { path: { project }, query } }));
    },
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (last) => last.next ?? undefined,
  });
}

/** Of all projects: what stands before one's own. */
export function useQueue(enabled: boolean) {
  return useQuery({
    queryKey: ["queue"],
    enabled,
    queryFn: async () => (await take(api.GET("/studio/v1/queue"))).jobs,
    refetchInterval: 3_000,
  });
}

/** Asked for again whenever another epoch is done. */
export function useCurves(project: string, job: Job) {
  return useQuery({
    queryKey: ["curves", project, job.id, job.progress.epoch ?? 0, job.progress.stage],
    enabled: job.progress.epoch != null,
    queryFn: () => take(api.GET("/studio/v1/projects/{project}/jobs/{job}/curves", { params: { path: { project, job: job.id } } })),
    placeholderData: keepPreviousData,
    gcTime: 10_000,
  });
}

export function useLog(project: string, job: Job) {
  return useQuery({
    queryKey: ["log", project, job.id],
    queryFn: () =>
      take(api.GET("/studio/v1/projects/{project}/jobs/{job}/log", { params: { path: { project, job: job.id } }, parseAs: "text" })),
    refetchInterval: WAITING.includes(job.state) ? 3_000 : false,
  });
}

/** What a training would do. Stays what it was until the answer to a changed form is there. */
export function useReadOut(project: string, training: TrainingInput, enabled: boolean) {
  return useQuery({
    queryKey: ["read-out", project, training],
    enabled,
    queryFn: () =>
      take(api.POST("/studio/v1/projects/{project}/trainings/read-out", { params: { path: { project } }, body: training })),
    placeholderData: keepPreviousData,
  });
}

export function useBackbones(project: string) {
  return useQuery({
    queryKey: ["backbones", project],
    staleTime: 60_000,
    queryFn: async () =>
      (await take(api.GET("/studio/v1/projects/{project}/backbones", { params: { path: { project } } }))).backbones,
  });
}

function refresh(project: string): void {
  void queries.invalidateQueries({ queryKey: ["jobs", project] });
  void queries.invalidateQueries({ queryKey: ["queue"] });
}

export function useCancel(project: string) {
  return useMutation({
    mutationFn: (job: Job) =>
      take(api.POST("/studio/v1/projects/{project}/jobs/{job}/cancel", { params: { path: { project, job: job.id } } })),
    onSettled: () => refresh(project),
  });
}

export function useResume(project: string) {
  return useMutation({
    mutationFn: (job: Job) =>
      take(api.POST("/studio/v1/projects/{project}/jobs/{job}/resume", { params: { path: { project, job: job.id } } })),
    onSuccess: (job) => tell(`${job.name} goes on where it stopped.`),
    onSettled: () => refresh(project),
  });
}

export function useDelete(project: string) {
  return useMutation({
    mutationFn: (job: Job) =>
      take(api.DELETE("/studio/v1/projects/{project}/jobs/{job}", { params: { path: { project, job: job.id } } })),
    onSuccess: (_, job) => tell(`${job.name} is deleted.`),
    onSettled: () => {
      refresh(project);
      void queries.invalidateQueries({ queryKey: ["models", project] });
      void queries.invalidateQueries({ queryKey: ["datasets", project] });
    },
  });
}

export interface Wanted {
  name: string;
  training: TrainingInput;
  /** One model for each of these, by itself; null for one model of all. */
  each: string[] | null;
}

export function useTrain(project: string) {
  return useMutation({
    meta: { quiet: true },
    mutationFn: async ({ name, training, each }: Wanted): Promise<Job[]> => {
      const path = { project };
      if (each === null) {
        return [await take(api.POST("/studio/v1/projects/{project}/trainings", { params: { path }, body: { name, training } }))];
      }
      const body = { name, labels: each, training };
      return (await take(api.POST("/studio/v1/projects/{project}/trainings/one-class", { params: { path }, body }))).jobs;
    },
    onSettled: () => refresh(project),
  });
}

/** To begin from: the newest first. */
export function useModels(project: string) {
  return useQuery({
    queryKey: ["models", project, "choices"],
    queryFn: () => take(api.GET("/studio/v1/projects/{project}/models", { params: { path: { project }, query: { limit: 100 } } })),
    select: (page) => page.models,
  });
}
