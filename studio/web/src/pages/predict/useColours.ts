import { useMemo } from "react";
import { useLabels } from "@/api/labels";

const OTHER = "#868e96"; // of a label that the project has no more

/** The project's colour of a label, by its name. */
export function useColours(project: string): (label: string) => string {
  const labels = useLabels(project).data;
  return useMemo(() => {
    const known = new Map(labels?.map(({ name, colour }) => [name, colour]));
    return (label: string) => known.get(label) ?? OTHER;
  }, [labels]);
}
