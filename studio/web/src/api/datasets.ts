/** Versions of the project's images and labels, and what changed between two. */
import { keepPreviousData, useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { api, take, type Schemas } from "@/api/client";

export type ChangedImage = Schemas["ChangedImage"];
export type Change = ChangedImage["change"];

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

/** to: another version; null for the project as it is now.  change: of this kind alone; null for all. */
export function useDifference(project: string, dataset: string, to: string | null, change: Change | null) {
  return useInfiniteQuery({
    queryKey: ["datasets", project, dataset, to, change],
    queryFn: ({ pageParam }) => {
      const query = { limit: 100, to: to ?? undefined, change: change ?? undefined, after: pageParam };
      return take(api.GET("/studio/v1/projects/{project}/datasets/{dataset}/difference", { params: { path: { project, dataset }, query } }));
    },
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (last) => last.next ?? undefined,
    placeholderData: keepPreviousData,
  });
}
