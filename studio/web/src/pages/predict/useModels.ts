/** The models of a project, and how one of them is asked. */
import { useQuery } from "@tanstack/react-query";
import { api, take } from "@/api/client";

/** The newest first. */
export function useModels(project: string) {
  return useQuery({
    queryKey: ["models", project, "newest"],
    queryFn: async () =>
      (await take(api.GET("/studio/v1/projects/{project}/models", { params: { path: { project }, query: { limit: 200 } } }))).models,
  });
}

/** Looks again while a bundle is being made. */
export function usePredictState(project: string, model: string | null) {
  return useQuery({
    queryKey: ["predict", project, model],
    enabled: model !== null,
    refetchInterval: ({ state }) => (state.data?.models.some(({ readiness }) => readiness === "preparing") ? 1000 : false),
    queryFn: () =>
      take(api.GET("/studio/v1/projects/{project}/models/{job}/predict", { params: { path: { project, job: model ?? "" } } })),
  });
}
