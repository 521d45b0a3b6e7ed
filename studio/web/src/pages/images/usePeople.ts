import { useQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import { api, take } from "@/api/client";
import { useSession } from "@/api/session";

/** Names by id: of the project's members, and one's own. */
export function usePeople(project: string): Map<string, string> {
  const me = useSession().data;
  const members = useQuery({
    queryKey: ["members", project],
    staleTime: 60_000,
    queryFn: () => take(api.GET("/studio/v1/projects/{project}/members", { params: { path: { project } } })),
  }).data;
  return useMemo(() => {
    const people = new Map(members?.members.map(({ user, name }) => [user, name]));
    if (me) people.set(me.id, me.name);
    return people;
  }, [members, me]);
}
