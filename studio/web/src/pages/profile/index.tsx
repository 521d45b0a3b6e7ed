import { Container, Stack } from "@mantine/core";
import { useSession } from "@/api/session";
import { PageHead } from "@/components/PageHead";
import { Account } from "@/pages/profile/Account";
import { Colours } from "@/pages/profile/Colours";
import { ChangePassword } from "@/pages/profile/ChangePassword";
import { Tokens } from "@/pages/profile/Tokens";

export default function Page() {
  const me = useSession().data;
  if (!me) return null; // the frame shows the form to sign in
  return (
    <Container size="md" px={0}>
      <PageHead title="Profile" about={me.email} />
      <Stack gap="lg">
        <Account me={me} />
        <ChangePassword me={me} />
        <Colours />
        <Tokens />
      </Stack>
    </Container>
  );
}
