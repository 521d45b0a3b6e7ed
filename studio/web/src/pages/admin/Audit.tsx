import { Anchor, Button, Center, Container, Skeleton, Text, Tooltip } from "@mantine/core";
import { IconHistory } from "@tabler/icons-react";
import { keepPreviousData, useInfiniteQuery } from "@tanstack/react-query";
import { useState } from "react";
import { Link } from "react-router";
import { api, take, type Schemas } from "@/api/client";
import { Empty } from "@/components/Empty";
import { Moment } from "@/components/Moment";
import { PageHead } from "@/components/PageHead";
import { Trouble } from "@/components/Trouble";
import { type Asked, AuditFilters } from "@/pages/admin/AuditFilters";
import classes from "@/pages/admin/audit.module.css";
import { showsSubject, wordsOfAction, wordsOfDetails } from "@/pages/admin/auditWords";
import { ForAdmins } from "@/pages/admin/ForAdmins";

export default function Page() {
  return (
    <ForAdmins title="Audit log" needs="read_audit">
      <Log />
    </ForAdmins>
  );
}

function Log() {
  const [asked, setAsked] = useState<Asked>({});
  const { action, user, subject, first, last } = asked;
  const log = useInfiniteQuery({
    queryKey: ["audit", asked],
    queryFn: ({ pageParam }) =>
      take(
        api.GET("/studio/v1/audit", {
          params: { query: { limit: 100, action, user, subject, since: dayBegins(first), until: dayBegins(last, 1), after: pageParam } },
        }),
      ),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (page) => page.next ?? undefined,
    placeholderData: keepPreviousData,
  });
  const lines = log.data?.pages.flatMap((page) => page.lines) ?? [];
  return (
    <Container size="lg" px={0}>
      <PageHead title="Audit log" about="Who came in, and who changed users, sharing, tokens and projects. Labelling is in each project's history." />
      <AuditFilters asked={asked} onChange={setAsked} />
      {log.isPending && <Skeleton h={240} role="status" aria-label="Loading" />}
      {log.isError && <Trouble error={log.error} retry={() => void log.refetch()} />}
      {log.isSuccess && lines.length === 0 && <Empty icon={IconHistory} title="No line fits these filters" />}
      {lines.length > 0 && (
        <div role="table" aria-label="Audit log">
          <div role="row" className={`${classes.line} ${classes.head}`}>
            <span role="columnheader">When</span>
            <span role="columnheader">What</span>
            <span role="columnheader">Address</span>
          </div>
          {lines.map((line) => (
            <Line key={`${line.request_id} ${line.at} ${line.action} ${line.subject}`} line={line} />
          ))}
        </div>
      )}
      {log.hasNextPage && (
        <Center mt="lg">
          <Button variant="default" loading={log.isFetchingNextPage} onClick={() => void log.fetchNextPage()}>
            Show more
          </Button>
        </Center>
      )}
    </Container>
  );
}

function Line({ line }: { line: Schemas["AuditLine"] }) {
  const details = wordsOfDetails(line.details);
  const who = line.user_name ?? (line.action === "session.refused" ? "Somebody:" : "Somebody who is gone");
  return (
    <div role="row" className={classes.line}>
      <Text role="cell" size="xs" c="dimmed" className="tabular">
        <Moment at={line.at} exact />
      </Text>
      <div role="cell">
        <b>{who}</b> {wordsOfAction(line.action)}
        {showsSubject(line.action) && (
          <>
            {" "}
            <b>{line.subject}</b>
          </>
        )}
        {line.project && line.project_name !== line.subject && (
          <>
            {" · "}
            <Anchor component={Link} inherit underline="always" to={`/p/${line.project}/images`}>
              {line.project_name}
            </Anchor>
          </>
        )}
        {details && (
          <Text size="xs" c="dimmed">
            {details}
          </Text>
        )}
      </div>
      <Tooltip label={`Request ${line.request_id}: the studio's own log has more under it.`}>
        <Text role="cell" size="xs" c="dimmed" className="tabular" aria-description={`request ${line.request_id}`}>
          {line.address}
        </Text>
      </Tooltip>
    </div>
  );
}

/** The local day's beginning, in UTC; further: days after it. */
function dayBegins(day: string | undefined, further = 0): string | undefined {
  if (day === undefined) return undefined;
  const [year, month, date] = day.split("-").map(Number);
  return new Date(year!, month! - 1, date! + further).toISOString();
}
