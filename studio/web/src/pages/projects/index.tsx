import { Button, Center, Container, SimpleGrid, Skeleton } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { IconPlus, IconSearchOff } from "@tabler/icons-react";
import { keepPreviousData, useInfiniteQuery } from "@tanstack/react-query";
import { useState } from "react";
import { api, take } from "@/api/client";
import { useSession } from "@/api/session";
import { Empty } from "@/components/Empty";
import { PageHead } from "@/components/PageHead";
import { SearchField } from "@/components/SearchField";
import { Trouble } from "@/components/Trouble";
import { FirstSteps } from "@/pages/projects/FirstSteps";
import { NewProject } from "@/pages/projects/NewProject";
import { ProjectCard } from "@/pages/projects/ProjectCard";

const PAGE = 24;
const COLUMNS = { base: 1, xs: 2, md: 3, xl: 4 };

export default function Page() {
  const [asked, setAsked] = useState("");
  const [making, modal] = useDisclosure(false);
  const mayMake = useSession().data?.privileges.includes("create_projects") ?? false;
  const list = useInfiniteQuery({
    queryKey: ["projects", "cards", asked],
    queryFn: ({ pageParam }) =>
      take(
        api.GET("/studio/v1/projects", {
          params: { query: { limit: PAGE, order: "newest", outline: true, search: asked, after: pageParam } },
        }),
      ),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (last) => last.next ?? undefined,
    placeholderData: keepPreviousData,
  });
  const projects = list.data?.pages.flatMap((page) => page.projects) ?? [];
  const isNew = list.isSuccess && projects.length === 0 && !asked && !list.isPlaceholderData;

  return (
    <Container size={1400} px={0}>
      <PageHead title="Projects">
        {!isNew && (
          <SearchField label="Search projects" onSearch={setAsked} w={{ base: "100%", xs: 240 }} />
        )}
        {mayMake && !isNew && (
          <Button leftSection={<IconPlus size={18} />} onClick={modal.open}>
            New project
          </Button>
        )}
      </PageHead>
      {list.isError && <Trouble error={list.error} retry={() => void list.refetch()} />}
      {list.isPending && (
        <SimpleGrid cols={COLUMNS} role="status" aria-label="Loading">
          {[0, 1, 2, 3].map((place) => (
            <Skeleton key={place} h={236} radius="lg" />
          ))}
        </SimpleGrid>
      )}
      {isNew && <FirstSteps mayMake={mayMake} onNew={modal.open} />}
      {list.isSuccess && projects.length === 0 && asked && (
        <Empty icon={IconSearchOff} title={`No project is called “${asked}”`}>
          Search for another part of its name.
        </Empty>
      )}
      <SimpleGrid cols={COLUMNS}>
        {projects.map((project) => (
          <ProjectCard key={project.id} project={project} />
        ))}
      </SimpleGrid>
      {list.hasNextPage && (
        <Center mt="lg">
          <Button variant="default" loading={list.isFetchingNextPage} onClick={() => void list.fetchNextPage()}>
            Show more
          </Button>
        </Center>
      )}
      <NewProject opened={making} onClose={modal.close} />
    </Container>
  );
}
