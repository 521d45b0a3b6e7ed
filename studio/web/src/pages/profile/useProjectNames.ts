import { useQuery } from "@tanstack/react-query";
import { api, take } from "@/api/client";

const MOST = 1000;

/** Names of the projects that one sees, by id; the newest first. */
export function useProjectNames(): Map<string, string> {
  const { data } = useQuery({
    queryKey: ["projects", "names"],
    queryFn: () => take(api.GET("/studio/v1/projects", { params: { query: { limit: MOST, order: "newest" } } })),
  });
  return new Map(data?.projects.map(({ id, name }) => [id, name]));
}
