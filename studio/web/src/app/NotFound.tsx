import { Button } from "@mantine/core";
import { IconMapQuestion } from "@tabler/icons-react";
import { Link } from "react-router";
import { Empty } from "@/components/Empty";
import { useDocumentTitle } from "@/components/useDocumentTitle";

/** At an address that no page has. */
export function NotFound() {
  useDocumentTitle("No such page");
  return (
    <Empty icon={IconMapQuestion} title="There is no such page" order={1}>
      <Button component={Link} to="/" variant="light">
        To the projects
      </Button>
    </Empty>
  );
}
