import { useMutation, useQuery } from "@tanstack/react-query";
import { api, take, type Schemas } from "@/api/client";
import { queries } from "@/api/queries";
import { tell } from "@/components/tell";

export type Alike = Schemas["Alike"];

const LOOKED_AT_MS = 2_000;

/** How many images can be compared; asked again while more are being read. */
export function useKnown(project: string) {
  return useQuery({
    queryKey: ["features", project],
    queryFn: () => take(api.GET("/studio/v1/projects/{project}/features", { params: { path: { project } } })),
    refetchInterval: ({ state }) => (state.data && state.data.state !== "idle" ? LOOKED_AT_MS : false),
  });
}

export function useReadNow(project: string) {
  return useMutation({
    mutationFn: () => take(api.POST("/studio/v1/projects/{project}/features", { params: { path: { project } } })),
    onSuccess: (state) => queries.setQueryData(["features", project], state),
  });
}

function changed(project: string): void {
  for (const key of ["labels", "counts", "images", "doubts"]) void queries.invalidateQueries({ queryKey: [key, project] });
}

/** Put a label on images, or one in place of another. */
export function useLabelling(project: string) {
  return useMutation({
    mutationFn: ({ images, add, remove = [] }: { images: string[]; add: string[]; remove?: string[] }) =>
      take(
        api.POST("/studio/v1/projects/{project}/labelling", {
          params: { path: { project } },
          body: { selection: { images }, add, remove },
        }),
      ),
    onSuccess: () => changed(project),
  });
}

export function useUndo(project: string, then?: () => void) {
  return useMutation({
    mutationFn: () => take(api.POST("/studio/v1/projects/{project}/undo", { params: { path: { project } } })),
    onSuccess: () => {
      tell("Taken back.");
      changed(project);
      then?.();
    },
  });
}
