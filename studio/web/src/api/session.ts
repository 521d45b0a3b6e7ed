import { useQuery } from "@tanstack/react-query";
import { useParams } from "react-router";
import { api, take, type Schemas } from "@/api/client";
import { ProblemError } from "@/api/problem";
import { queries } from "@/api/queries";

export type Me = Schemas["Me"];
export type Project = Schemas["Project"];

/** Who is signed in; null for nobody. */
export function useSession() {
  return useQuery({
    queryKey: ["session"],
    staleTime: 60_000,
    queryFn: async (): Promise<Me | null> => {
      try {
        return await take(api.GET("/studio/v1/session"));
      } catch (error) {
        if (error instanceof ProblemError && error.status === 401) return null;
        throw error;
      }
    },
  });
}

/** Whoever comes or goes (null) sees nothing of what was loaded for somebody else. */
export function setSession(me: Me | null): void {
  queries.removeQueries({ predicate: (query) => query.queryKey[0] !== "session" });
  queries.setQueryData(["session"], me);
}

/** The id of the project in the address. */
export function useProjectId(): string {
  const { project } = useParams();
  if (!project) throw new Error("this page belongs below /p/:project");
  return project;
}

/** The project in the address, with what one may do in it: `project?.privileges.includes("train")`. */
export function useProject() {
  const project = useProjectId();
  return useQuery({
    queryKey: ["project", project],
    queryFn: () => take(api.GET("/studio/v1/projects/{project}", { params: { path: { project } } })),
  });
}

export function useMay(privilege: Project["privileges"][number]): boolean {
  return useProject().data?.privileges.includes(privilege) ?? false;
}
