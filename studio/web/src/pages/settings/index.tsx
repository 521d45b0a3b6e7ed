import { Container, Tabs } from "@mantine/core";
import { IconHistory, IconSettings, IconUsers } from "@tabler/icons-react";
import { useSearchParams } from "react-router";
import { PageHead } from "@/components/PageHead";
import { General } from "@/pages/settings/General";
import { History } from "@/pages/settings/History";
import { Members } from "@/pages/settings/Members";

export default function Page() {
  const [search, setSearch] = useSearchParams();
  return (
    <Container size="md" px={0} ml={0}>
      <PageHead title="Project" />
      <Tabs
        value={search.get("tab") ?? "general"}
        onChange={(tab) => setSearch(tab === null ? {} : { tab }, { replace: true })}
        keepMounted={false}
      >
        <Tabs.List mb="lg">
          <Tabs.Tab value="general" leftSection={<IconSettings size={16} />}>
            General
          </Tabs.Tab>
          <Tabs.Tab value="members" leftSection={<IconUsers size={16} />}>
            Members
          </Tabs.Tab>
          <Tabs.Tab value="history" leftSection={<IconHistory size={16} />}>
            History
          </Tabs.Tab>
        </Tabs.List>
        <Tabs.Panel value="general">
          <General />
        </Tabs.Panel>
        <Tabs.Panel value="members">
          <Members />
        </Tabs.Panel>
        <Tabs.Panel value="history">
          <History />
        </Tabs.Panel>
      </Tabs>
    </Container>
  );
}
