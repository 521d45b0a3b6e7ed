import { keepPreviousData, useMutation, useQuery } from "@tanstack/react-query";
import { useMemo, useState } from "react";
import { useParams, useSearchParams } from "react-router";
import { api, take, type Schemas } from "@/api/client";
import { queries } from "@/api/queries";
import { useProjectId } from "@/api/session";
import { tell } from "@/components/tell";
import type { Split } from "@/pages/model/terms";

export type Facts = Schemas["ModelFacts"];
export type Measured = NonNullable<ReturnType<typeof useMeasured>["data"]>;
export type Choice = "best" | "last";

/** What every part of the page is about: which model, which images, which thresholds. */
export interface Looked {
  project: string;
  job: string;
  choice: Choice;
  split: Split;
  facts: Facts;
  /** One a label in the model's order; as they are being tried, saved or not. */
  thresholds: number[];
  setThreshold: (place: number, value: number) => void;
  setThresholds: (values: number[]) => void;
  measured: Measured | undefined;
}

export function useModelId(): string {
  const { model } = useParams();
  if (!model) throw new Error("this page belongs below /p/:project/models/:model");
  return model;
}

/** Best or last, and the split: kept in the address, so that what one sees can be shared. */
export function useLook(splits: string[]) {
  const [search, setSearch] = useSearchParams();
  const wanted = search.get("split");
  const usual = splits.includes("test") ? "test" : splits.includes("validation") ? "validation" : "train";
  function set(name: string, value: string) {
    setSearch(
      (before) => {
        before.set(name, value);
        return before;
      },
      { replace: true },
    );
  }
  return {
    choice: (search.get("model") === "last" ? "last" : "best") as Choice,
    split: (wanted && splits.includes(wanted) ? wanted : usual) as Split,
    tab: search.get("tab") ?? "statistics",
    set,
  };
}

export function useFacts(project: string, job: string, choice: Choice) {
  return useQuery({
    queryKey: ["model", project, job, choice],
    queryFn: () =>
      take(
        api.GET("/studio/v1/projects/{project}/models/{job}", { params: { path: { project, job }, query: { choice } } }),
      ),
    placeholderData: keepPreviousData,
  });
}

/** Thresholds as they are being tried; what is in force until somebody changes one. */
export function useTrial(facts: Facts | undefined, choice: Choice) {
  const [tried, setTried] = useState<{ choice: Choice; values: number[] } | null>(null);
  const own = tried && tried.choice === choice ? tried.values : null;
  const thresholds = useMemo(() => own ?? facts?.thresholds ?? [], [own, facts]);
  return {
    thresholds,
    isChanged: own !== null && facts !== undefined && own.some((value, place) => value !== facts.thresholds[place]),
    set: (values: number[]) => setTried({ choice, values: values.map((value) => Math.min(1, Math.max(0, value))) }),
    forget: () => setTried(null),
  };
}

/** The figures at these thresholds; those before them are shown until they are there. */
export function useMeasured(project: string, job: string, choice: Choice, split: Split, thresholds: number[]) {
  return useQuery({
    queryKey: ["measured", project, job, choice, split, thresholds],
    enabled: thresholds.length > 0,
    queryFn: ({ signal }) =>
      take(
        api.POST("/studio/v1/projects/{project}/models/{job}/measure", {
          params: { path: { project, job } },
          body: { choice, split, thresholds },
          signal,
        }),
      ),
    placeholderData: keepPreviousData,
    staleTime: 60_000,
    gcTime: 60_000,
  });
}

export function useSaveThresholds(project: string, job: string, choice: Choice) {
  return useMutation({
    mutationFn: (thresholds: number[] | null) =>
      take(
        api.PUT("/studio/v1/projects/{project}/models/{job}/thresholds", {
          params: { path: { project, job } },
          body: { choice, thresholds },
        }),
      ),
    onSuccess: (facts, given) => {
      queries.setQueryData(["model", project, job, choice], facts);
      tell(given ? "Saved: predictions go by these thresholds from now on." : "Back to the model's own thresholds.");
    },
  });
}

export function useModelRoute() {
  return { project: useProjectId(), job: useModelId() };
}
