/** Versions of the project's images and labels, and what changed between two. */
import { useQuery } from "@tanstack/react-query";
import { api, take, type Schemas } from "@/api/client";

export type Difference = Schemas["Difference"];
export type ChangedImage = Schemas["ChangedImage"];

export function useVersions(project: string, enabled: boolean) {
  return useQuery({
    queryKey: ["datasets", project],
    enabled,
    queryFn: async () => {
      const query = { limit: 200 };
      return (await take(api.GET("/studio/v1/projects/{project}/datasets", { params: { path: { project }, query } }))).versions;
    },
  });
}

/** to: another version; null for the project as it is now. */
export function useDifference(project: string, dataset: string, to: string | null) {
  return useQuery({
    queryKey: ["datasets", project, dataset, to],
    queryFn: () =>
      take(
        api.GET("/studio/v1/projects/{project}/datasets/{dataset}/difference", {
          params: { path: { project, dataset }, query: to === null ? {} : { to } },
        }),
      ),
  });
}
