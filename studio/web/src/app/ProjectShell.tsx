import { Alert, Button, Center, Loader } from "@mantine/core";
import { IconLock } from "@tabler/icons-react";
import { Link, Outlet, useMatch } from "react-router";
import { ProblemError } from "@/api/problem";
import { type Project, useProject } from "@/api/session";
import { SECTIONS, whyNot } from "@/app/sectionList";
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
  return (
    <>
      <Closed privileges={project.data.privileges} />
      <Outlet />
    </>
  );
}

/** Above a section in which one may not do what it is for: why. */
function Closed({ privileges }: { privileges: Project["privileges"] }) {
  const place = useMatch("/p/:project/:section/*")?.params.section;
  const section = SECTIONS.find((each) => each.to === place);
  if (!section?.needs || privileges.includes(section.needs)) return null;
  return (
    <Alert variant="light" color="gray" icon={<IconLock size={18} />} mb="md" p="sm">
      {whyNot(section)}
    </Alert>
  );
}
