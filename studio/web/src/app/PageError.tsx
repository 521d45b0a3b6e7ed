import { Container } from "@mantine/core";
import { useRouteError } from "react-router";
import { Trouble } from "@/components/Trouble";
import { useDocumentTitle } from "@/components/useDocumentTitle";

/** Instead of a page that failed. */
export function PageError() {
  useDocumentTitle("This cannot be shown");
  const error = useRouteError();
  const told = wasNotLoaded(error)
    ? new Error("This page could not be loaded. The studio does not answer, or it has been updated since this tab was opened.")
    : error;
  return (
    <Container size="sm" py="xl">
      <Trouble error={told} retry={() => window.location.reload()} />
    </Container>
  );
}

/** Every page is a file of its own; browsers say so in their own words. */
function wasNotLoaded(error: unknown): boolean {
  return error instanceof TypeError && /import(ed|ing)? .*module|module script/i.test(error.message);
}
