import { PageHead } from "@/components/PageHead";

export default function Page() {
  return <PageHead title="Welcome" />;
}
