import { Tabs } from "@mantine/core";
import { IconCopy, IconSearch, IconTags, IconTagOff } from "@tabler/icons-react";
import { useSearchParams } from "react-router";
import { useProjectId } from "@/api/session";
import { PageHead } from "@/components/PageHead";
import { Doubts } from "@/pages/similar/Doubts";
import { Duplicates } from "@/pages/similar/Duplicates";
import { Known } from "@/pages/similar/Known";
import { Lane } from "@/pages/similar/Lane";
import { Search } from "@/pages/similar/Search";

/** What looks alike: to find, to label, to tidy up. */
export default function Page() {
  const project = useProjectId();
  const [search, setSearch] = useSearchParams();
  const tab = search.get("images") ? "search" : (search.get("tab") ?? "lane");
  return (
    <>
      <PageHead title="Similar" about="Images that look alike: label many at once, remove what is there twice, find what is mislabelled." />
      <Known project={project} />
      <Tabs value={tab} onChange={(value) => setSearch(value ? { tab: value } : {}, { replace: true })} keepMounted={false}>
        <Tabs.List mb="lg">
          <Tabs.Tab value="lane" leftSection={<IconTags size={16} />}>
            Label by similarity
          </Tabs.Tab>
          <Tabs.Tab value="duplicates" leftSection={<IconCopy size={16} />}>
            Near-duplicates
          </Tabs.Tab>
          <Tabs.Tab value="doubts" leftSection={<IconTagOff size={16} />}>
            Doubtful labels
          </Tabs.Tab>
          <Tabs.Tab value="search" leftSection={<IconSearch size={16} />}>
            Search
          </Tabs.Tab>
        </Tabs.List>
        <Tabs.Panel value="lane">
          <Lane project={project} />
        </Tabs.Panel>
        <Tabs.Panel value="duplicates">
          <Duplicates project={project} />
        </Tabs.Panel>
        <Tabs.Panel value="doubts">
          <Doubts project={project} />
        </Tabs.Panel>
        <Tabs.Panel value="search">
          <Search project={project} images={search.get("images")?.split(",").filter(Boolean) ?? []} />
        </Tabs.Panel>
      </Tabs>
    </>
  );
}
