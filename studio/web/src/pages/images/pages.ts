/** The grid's images, page by page as they are looked at: any page can be asked for, since it is known where each begins. */
import { queryOptions, useQueries, useQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import { api, take } from "@/api/client";
import { queries } from "@/api/queries";
import type { Image, Wanted } from "@/pages/images/filter";

export const PAGE_IMAGES = 200;
const STALE_MS = 30_000;

function startsOptions(project: string, wanted: Wanted) {
  const query = { ...wanted.filter, order: wanted.order, limit: PAGE_IMAGES };
  return queryOptions({
    queryKey: ["images", project, "starts", wanted],
    staleTime: STALE_MS,
    queryFn: ({ signal }) =>
      take(api.GET("/studio/v1/projects/{project}/images/pages", { params: { path: { project }, query }, signal })),
  });
}

function pageOptions(project: string, wanted: Wanted, after: string | undefined) {
  const query = { ...wanted.filter, order: wanted.order, limit: PAGE_IMAGES, after };
  return queryOptions({
    queryKey: ["images", project, "page", wanted, after ?? null],
    staleTime: STALE_MS,
    queryFn: async ({ signal }) =>
      (await take(api.GET("/studio/v1/projects/{project}/images", { params: { path: { project }, query }, signal }))).images,
  });
}

export interface Gallery {
  total: number;
  isPending: boolean;
  error: Error | null;
  /** All of the pages to see that are loaded. */
  inSight: Image[];
  /** What is loaded; of pages that are not, null. */
  at(index: number): Image | null;
  /** Ids from one place to another, both among them; loads what is missing. */
  idsBetween(from: number, to: number): Promise<string[]>;
}

/** visible: numbers of the pages to see.  moving: too fast to load any. */
export function useGallery(project: string, wanted: Wanted, visible: number[], moving: boolean): Gallery {
  const starts = useQuery(startsOptions(project, wanted));
  const after = starts.data?.starts;
  const pages = visible.filter((page) => page === 0 || page <= (after?.length ?? 0));
  const loaded = useQueries({
    queries: pages.map((page) => ({
      ...pageOptions(project, wanted, after?.[page - 1]),
      enabled: !moving,
    })),
  });
  // A page that begins elsewhere by now shows what it showed until it has come.
  const shown = useMemo(() => new Map<number, Image[]>(), [project, wanted]);
  loaded.forEach(({ data }, place) => {
    if (data && pages[place] !== undefined) shown.set(pages[place], data);
  });
  const first = shown.get(0);
  const total = starts.data?.images ?? first?.length ?? 0;
  return {
    total,
    isPending: starts.isPending && !first,
    error: starts.error ?? loaded.find(({ error }) => error)?.error ?? null,
    inSight: pages.flatMap((page) => shown.get(page) ?? []),
    at: (index) => shown.get(Math.floor(index / PAGE_IMAGES))?.[index % PAGE_IMAGES] ?? null,
    async idsBetween(from, to) {
      const [low, high] = from < to ? [from, to] : [to, from];
      const ids: string[] = [];
      for (let page = Math.floor(low / PAGE_IMAGES); page * PAGE_IMAGES <= high; page++) {
        const images = await queries.ensureQueryData(pageOptions(project, wanted, after?.[page - 1]));
        const begin = page * PAGE_IMAGES;
        ids.push(...images.slice(Math.max(0, low - begin), high - begin + 1).map(({ id }) => id));
      }
      return ids;
    },
  };
}

/** After a change whose outcome only the studio knows: pages to see are asked for again, others when they are. */
export async function reloadImages(project: string): Promise<void> {
  await queries.invalidateQueries({ queryKey: ["images", project, "starts"] });
  await queries.invalidateQueries({ queryKey: ["images", project, "page"] });
}

/** Change loaded images in place; those of other filters too, unless only is given. */
export function changeLoaded(project: string, change: (image: Image) => Image, only?: Wanted): void {
  const queryKey = only ? ["images", project, "page", only] : ["images", project, "page"];
  queries.setQueriesData<Image[]>({ queryKey }, (images) => {
    if (!images) return images;
    let isChanged = false;
    const after = images.map((image) => {
      const other = change(image);
      isChanged ||= other !== image;
      return other;
    });
    return isChanged ? after : images;
  });
}

export function loadedImages(project: string, wanted: Wanted): Image[] {
  return queries.getQueriesData<Image[]>({ queryKey: ["images", project, "page", wanted] }).flatMap(([, images]) => images ?? []);
}
