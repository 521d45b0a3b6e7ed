import { Anchor, Badge, Button, Collapse, Group, Skeleton, Stack, Text, Tooltip } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { IconPlus } from "@tabler/icons-react";
import { useMutation, useQuery } from "@tanstack/react-query";
import { api, take, type Schemas } from "@/api/client";
import { queries } from "@/api/queries";
import { labelOf, SCOPES } from "@/components/access";
import { confirm } from "@/components/confirm";
import { Moment } from "@/components/Moment";
import { Panel } from "@/components/Panel";
import { Row, Rows } from "@/components/Rows";
import { Trouble } from "@/components/Trouble";
import { tell } from "@/components/tell";
import { HowToUse } from "@/pages/profile/HowToUse";
import { NewToken } from "@/pages/profile/NewToken";
import { useProjectNames } from "@/pages/profile/useProjectNames";

type Token = Schemas["Token"];

export function Tokens() {
  const [making, modal] = useDisclosure(false);
  const [explained, how] = useDisclosure(false);
  const names = useProjectNames();
  const tokens = useQuery({ queryKey: ["tokens"], queryFn: () => take(api.GET("/studio/v1/tokens")) });
  return (
    <Panel
      title="API tokens"
      about="With a token a program does what you allow it, and never more than you may yourself."
      actions={
        <Button leftSection={<IconPlus size={18} />} onClick={modal.open}>
          New token
        </Button>
      }
    >
      {tokens.isPending && <Skeleton h={80} role="status" aria-label="Loading" />}
      {tokens.isError && <Trouble error={tokens.error} retry={() => void tokens.refetch()} />}
      {tokens.data?.tokens.length === 0 && (
        <Text size="sm" c="dimmed">
          You have none. A script that uploads photos, for example, needs one.
        </Text>
      )}
      <Rows label="API tokens">
        {tokens.data?.tokens.map((token) => (
          <TokenRow key={token.id} token={token} where={token.project === null ? "all projects" : (names.get(token.project) ?? "one project")} />
        ))}
      </Rows>
      <div>
        <Anchor component="button" type="button" size="sm" onClick={how.toggle} aria-expanded={explained}>
          How to use a token
        </Anchor>
        <Collapse expanded={explained}>
          <HowToUse />
        </Collapse>
      </div>
      {making && <NewToken names={names} onClose={modal.close} />}
    </Panel>
  );
}

function TokenRow({ token, where }: { token: Token; where: string }) {
  const expired = token.expires_at !== null && new Date(token.expires_at) <= new Date();
  const revoke = useMutation({
    mutationFn: () => take(api.DELETE("/studio/v1/tokens/{token}", { params: { path: { token: token.id } } })),
    onSuccess: () => {
      void queries.invalidateQueries({ queryKey: ["tokens"] });
      tell(`“${token.name}” does not work any more.`);
    },
  });

  function ask(): void {
    confirm({
      title: `Revoke “${token.name}”?`,
      text: "Programs that use it are refused from that moment on. This cannot be undone.",
      action: "Revoke",
      onConfirm: () => revoke.mutate(),
    });
  }

  return (
    <Row>
      <Stack gap={4} flex={1} miw={0}>
        <Group gap={6}>
          <Text size="sm" fw={600} truncate>
            {token.name}
          </Text>
          {token.scopes.map((scope) => (
            <Tooltip key={scope} label={SCOPES.find((each) => each.value === scope)?.about}>
              <Badge size="sm" variant="light">
                {labelOf(SCOPES, scope)}
              </Badge>
            </Tooltip>
          ))}
          {expired && (
            <Badge size="sm" variant="light" color="red">
              Expired
            </Badge>
          )}
        </Group>
        <Text size="xs" c="dimmed">
          …{token.last_characters} · {where} · made <Moment at={token.created_at} /> ·{" "}
          {token.used_at === null ? "never used" : <>used <Moment at={token.used_at} /></>}
          {token.expires_at !== null && !expired && <> · works until <Moment at={token.expires_at} exact /></>}
        </Text>
      </Stack>
      <Button variant="subtle" color="red" size="xs" loading={revoke.isPending} onClick={ask} aria-label={`Revoke ${token.name}`}>
        Revoke
      </Button>
    </Row>
  );
}
