import { Button, Container } from "@mantine/core";
import { IconMapQuestion } from "@tabler/icons-react";
import { isRouteErrorResponse, Link, useRouteError } from "react-router";
import { Empty } from "@/components/Empty";
import { Trouble } from "@/components/Trouble";

/** Instead of a page that failed, or that does not exist. */
export function PageError() {
  const error = useRouteError();
  if (isRouteErrorResponse(error) && error.status === 404) {
    return (
      <Empty icon={IconMapQuestion} title="There is no such page">
        <Button component={Link} to="/" variant="light">
          To the projects
        </Button>
      </Empty>
    );
  }
  return (
    <Container size="sm" py="xl">
      <Trouble error={error} retry={() => window.location.reload()} />
    </Container>
  );
}
