import { Button, Center, Container, Skeleton } from "@mantine/core";
import { IconSearchOff, IconUserPlus } from "@tabler/icons-react";
import { keepPreviousData, useInfiniteQuery } from "@tanstack/react-query";
import { useState } from "react";
import { api, take } from "@/api/client";
import { useSession } from "@/api/session";
import { Empty } from "@/components/Empty";
import { PageHead } from "@/components/PageHead";
import { Rows } from "@/components/Rows";
import { SearchField } from "@/components/SearchField";
import { Trouble } from "@/components/Trouble";
import { ForAdmins } from "@/pages/admin/ForAdmins";
import { type HandedLink, Invite, ShowLink } from "@/pages/admin/Invite";
import { UserRow } from "@/pages/admin/UserRow";

export default function Page() {
  return (
    <ForAdmins title="Users" needs="manage_users">
      <Users />
    </ForAdmins>
  );
}

function Users() {
  const me = useSession().data;
  const [asked, setAsked] = useState("");
  const [inviting, setInviting] = useState(false);
  const [link, setLink] = useState<HandedLink | null>(null);
  const list = useInfiniteQuery({
    queryKey: ["users", asked],
    queryFn: ({ pageParam }) =>
      take(api.GET("/studio/v1/users", { params: { query: { limit: 100, search: asked, after: pageParam } } })),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (last) => last.next ?? undefined,
    placeholderData: keepPreviousData,
  });
  const users = list.data?.pages.flatMap((page) => page.users) ?? [];
  return (
    <Container size="lg" px={0}>
      <PageHead title="Users" about="Who may sign in. They come by one-time links, which you hand over: no mail is sent.">
        <SearchField label="Search users" onSearch={setAsked} w={{ base: "100%", xs: 240 }} />
        <Button leftSection={<IconUserPlus size={18} />} onClick={() => setInviting(true)}>
          Invite
        </Button>
      </PageHead>
      {list.isPending && <Skeleton h={200} role="status" aria-label="Loading" />}
      {list.isError && <Trouble error={list.error} retry={() => void list.refetch()} />}
      {list.isSuccess && users.length === 0 && <Empty icon={IconSearchOff} title={`Nobody is called “${asked}”`} />}
      <Rows label="Users">
        {users.map((user) => (
          <UserRow key={user.id} user={user} isMe={user.id === me?.id} onLink={setLink} />
        ))}
      </Rows>
      {list.hasNextPage && (
        <Center mt="lg">
          <Button variant="default" loading={list.isFetchingNextPage} onClick={() => void list.fetchNextPage()}>
            Show more
          </Button>
        </Center>
      )}
      {inviting && (
        <Invite
          onClose={() => setInviting(false)}
          onInvited={(invited) => {
            setInviting(false);
            setLink(invited);
          }}
        />
      )}
      {link && <ShowLink link={link} onClose={() => setLink(null)} />}
    </Container>
  );
}
