import { useQuery } from "@tanstack/react-query";
import { useEffect } from "react";
import { useMatch } from "react-router";
import type { Project } from "@/api/session";

/** Of the browser's tab: "Images · Trash · Onsight". */
export function useDocumentTitle(title: string): void {
  const id = useMatch("/p/:project/*")?.params.project;
  const project = useQuery<Project>({ queryKey: ["project", id], enabled: false }).data?.name; // as it was loaded
  useEffect(() => {
    document.title = [title, project, "Onsight"].filter(Boolean).join(" · ");
  }, [title, project]);
}
