import { useProjectId } from "@/api/session";
import { Workplace } from "@/pages/images/Workplace";

export default function Page() {
  const project = useProjectId();
  return <Workplace key={project} project={project} />;
}
