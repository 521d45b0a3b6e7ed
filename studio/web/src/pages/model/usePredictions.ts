import { useInfiniteQuery } from "@tanstack/react-query";
import { api, take, type Schemas } from "@/api/client";
import type { Looked } from "@/pages/model/useModel";

export type Seen = Schemas["Seen"];
export type Wanted = Partial<Pick<Schemas["PredictionsQuestion"], "show" | "label" | "truth" | "predicted" | "unanswered" | "order">>;

/** Predictions of the split at the thresholds that are being tried, page by page. */
export function usePredictions(looked: Looked, wanted: Wanted) {
  const { project, job, choice, split, thresholds } = looked;
  return useInfiniteQuery({
    queryKey: ["predictions", project, job, choice, split, thresholds, wanted],
    queryFn: ({ pageParam, signal }) =>
      take(
        api.POST("/studio/v1/projects/{project}/models/{job}/predictions", {
          params: { path: { project, job } },
          body: { choice, split, thresholds, ...wanted, limit: 60, after: pageParam },
          signal,
        }),
      ),
    initialPageParam: null as string | null,
    getNextPageParam: (last) => last.next ?? undefined,
    gcTime: 30_000,
  });
}
