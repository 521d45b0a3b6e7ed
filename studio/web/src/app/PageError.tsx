import { Container } from "@mantine/core";
import { useRouteError } from "react-router";
import { Trouble } from "@/components/Trouble";
import { useDocumentTitle } from "@/components/useDocumentTitle";

/** Instead of a page that failed. */
export function PageError() {
  useDocumentTitle("This cannot be shown");
  return (
    <Container size="sm" py="xl">
      <Trouble error={useRouteError()} retry={() => window.location.reload()} />
    </Container>
  );
}
