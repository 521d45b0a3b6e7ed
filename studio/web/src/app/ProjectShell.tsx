import { Button, Center, Loader } from "@mantine/core";
import { IconLock } from "@tabler/icons-react";
import { Link, Outlet } from "react-router";
import { ProblemError } from "@/api/problem";
import { useProject } from "@/api/session";
import { Empty } from "@/components/Empty";
import { Trouble } from "@/components/Trouble";

/** Around every page of a project: pages below can rely on it being there. */
export function ProjectShell() {
  const project = useProject();
  if (project.isPending) {
    return (
      <Center mih={300}>
        <Loader aria-label="Loading" />
      </Center>
    );
  }
  if (project.error instanceof ProblemError && project.error.code === "PROJECT_NOT_FOUND") {
    return (
      <Empty icon={IconLock} title="There is no such project, or it is not shared with you">
        <Button component={Link} to="/" variant="light">
          To the projects
        </Button>
      </Empty>
    );
  }
  if (project.isError) return <Trouble error={project.error} retry={() => void project.refetch()} />;
  return <Outlet />;
}
