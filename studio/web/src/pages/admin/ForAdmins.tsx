import { IconLock } from "@tabler/icons-react";
import type { ReactNode } from "react";
import { useSession } from "@/api/session";
import { Empty } from "@/components/Empty";
import { PageHead } from "@/components/PageHead";
import type { Privilege } from "@/components/access";

/** A page for whoever has this privilege; for others, why it is closed. */
export function ForAdmins({ title, needs, children }: { title: string; needs: Privilege; children: ReactNode }) {
  if (useSession().data?.privileges.includes(needs)) return children;
  return (
    <>
      <PageHead title={title} />
      <Empty icon={IconLock} title="This page is for admins">
        An admin of this studio can make you one.
      </Empty>
    </>
  );
}
