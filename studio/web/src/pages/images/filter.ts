/** Which images the grid shows, and in which order: as the address's query has it, and as the API takes it. */
import { useCallback, useMemo } from "react";
import { useSearchParams } from "react-router";
import type { Schemas } from "@/api/client";
import type { paths } from "@/api/schema";

export type Image = Schemas["Image"];
type Query = NonNullable<paths["/studio/v1/projects/{project}/images"]["get"]["parameters"]["query"]>;
type Lists = "label" | "without_label" | "kind";
export type Order = NonNullable<Query["order"]>;
export type Kind = NonNullable<Query["kind"]>[number];
export type ImageFilter = Omit<Query, Lists | "order" | "limit" | "after"> & Required<Pick<Query, Lists>>;

export interface Wanted {
  filter: ImageFilter;
  order: Order;
}

export const ORDERS: { value: Order; label: string }[] = [
  { value: "oldest", label: "Oldest first" },
  { value: "newest", label: "Newest first" },
  { value: "name", label: "Name A–Z" },
  { value: "name_down", label: "Name Z–A" },
];
export const KINDS: Kind[] = ["unlabelled", "single", "multi"];
const TEXTS = ["default_label", "uploaded_by", "labelled_by", "name"] as const;

/** The address's parameters have the API's names; what they do not mean is passed over. */
export function wantedOf(params: URLSearchParams): Wanted {
  const filter: ImageFilter = {
    label: params.getAll("label"),
    without_label: params.getAll("without_label"),
    kind: KINDS.filter((kind) => params.getAll("kind").includes(kind)),
  };
  for (const name of TEXTS) filter[name] = params.get(name) || undefined;
  const validation = params.get("validation");
  if (validation === "true" || validation === "false") filter.validation = validation === "true";
  const order = ORDERS.find(({ value }) => value === params.get("order"))?.value ?? "oldest";
  return { filter, order };
}

export function paramsOf({ filter, order }: Wanted): URLSearchParams {
  const params = new URLSearchParams();
  for (const [name, value] of Object.entries(filter)) {
    if (Array.isArray(value)) for (const one of value) params.append(name, one);
    else if (value !== undefined) params.set(name, String(value));
  }
  if (order !== "oldest") params.set("order", order);
  return params;
}

export function isEmpty(filter: ImageFilter): boolean {
  return paramsOf({ filter, order: "oldest" }).size === 0;
}

/** Whether an image still fits, by what can be seen of it: who labelled it cannot. */
export function fits(image: Image, filter: ImageFilter): boolean {
  const kind: Kind = image.labels.length === 0 ? "unlabelled" : image.labels.length === 1 ? "single" : "multi";
  return (
    filter.label.every((label) => image.labels.includes(label)) &&
    !filter.without_label.some((label) => image.labels.includes(label)) &&
    (filter.default_label === undefined || image.default_label === filter.default_label) &&
    (filter.kind.length === 0 || filter.kind.includes(kind)) &&
    (filter.validation === undefined || image.validation === filter.validation) &&
    (filter.uploaded_by === undefined || image.uploaded_by === filter.uploaded_by)
  );
}

/** Of the address; a change replaces the entry of the history for what is typed, and adds one for what is clicked. */
export function useWanted() {
  const [params, setParams] = useSearchParams();
  const key = paramsOf(wantedOf(params)).toString();
  const wanted = useMemo(() => wantedOf(new URLSearchParams(key)), [key]);
  const change = useCallback(
    (part: Partial<ImageFilter>, typed = false) => {
      setParams((now) => {
        const { filter, order } = wantedOf(now);
        return paramsOf({ filter: { ...filter, ...part }, order });
      }, { replace: typed });
    },
    [setParams],
  );
  const sort = useCallback((order: Order) => setParams((now) => paramsOf({ ...wantedOf(now), order })), [setParams]);
  const clear = useCallback(
    () => setParams((now) => paramsOf({ filter: wantedOf(new URLSearchParams()).filter, order: wantedOf(now).order })),
    [setParams],
  );
  return useMemo(() => ({ wanted, key, change, sort, clear }), [wanted, key, change, sort, clear]);
}

export type WantedControls = ReturnType<typeof useWanted>;

/** In the list, out of it. */
export function toggled<T>(list: readonly T[], one: T): T[] {
  return list.includes(one) ? list.filter((each) => each !== one) : [...list, one];
}
