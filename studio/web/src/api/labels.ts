import { useQuery } from "@tanstack/react-query";
import { api, take, type Schemas } from "@/api/client";

export type Label = Schemas["Label"];
export type Counts = Schemas["Counts"];

/** In the order of the panel, which the number keys follow; each with how many images have it. */
export function useLabels(project: string) {
  return useQuery({
    queryKey: ["labels", project],
    queryFn: async () => (await take(api.GET("/studio/v1/projects/{project}/labels", { params: { path: { project } } }))).labels,
  });
}

export function useCounts(project: string) {
  return useQuery({
    queryKey: ["counts", project],
    queryFn: () => take(api.GET("/studio/v1/projects/{project}/counts", { params: { path: { project } } })),
  });
}
