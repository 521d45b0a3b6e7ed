import { Button, Select, SimpleGrid, TextInput } from "@mantine/core";
import { useDebouncedValue } from "@mantine/hooks";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { api, take } from "@/api/client";
import { SearchField } from "@/components/SearchField";
import { AREAS } from "@/pages/admin/auditWords";

export interface Asked {
  action?: string;
  user?: string;
  subject?: string;
  /** Days by the clock of who looks, YYYY-MM-DD; both included. */
  first?: string;
  last?: string;
}

interface Props {
  asked: Asked;
  onChange: (asked: Asked) => void;
}

export function AuditFilters({ asked, onChange }: Props) {
  const [round, setRound] = useState(0); // of emptying the fields
  const set = (more: Asked) => onChange({ ...asked, ...more });
  return (
    <SimpleGrid cols={{ base: 2, sm: 3, md: 6 }} spacing="sm" mb="md" role="search" aria-label="Filters" key={round}>
      <Select
        label="About"
        placeholder="Everything"
        data={AREAS}
        clearable
        value={asked.action ?? null}
        onChange={(action) => set({ action: action ?? undefined })}
      />
      <UserChoice value={asked.user ?? null} onChange={(user) => set({ user: user ?? undefined })} />
      <SearchField withLabel label="Whom or what" placeholder="Address or name" onSearch={(subject) => set({ subject: subject || undefined })} />
      <TextInput label="From" type="date" value={asked.first ?? ""} onChange={(event) => set({ first: event.currentTarget.value || undefined })} />
      <TextInput label="To" type="date" value={asked.last ?? ""} onChange={(event) => set({ last: event.currentTarget.value || undefined })} />
      {Object.values(asked).some(Boolean) && (
        <Button
          variant="subtle"
          style={{ alignSelf: "end" }}
          onClick={() => {
            onChange({});
            setRound(round + 1);
          }}
        >
          Clear
        </Button>
      )}
    </SimpleGrid>
  );
}

/** Looked for at the studio: there may be thousands. */
function UserChoice({ value, onChange }: { value: string | null; onChange: (user: string | null) => void }) {
  const [typed, setTyped] = useState("");
  const [search] = useDebouncedValue(typed.trim(), 200);
  const { data } = useQuery({
    queryKey: ["users", "choice", search],
    queryFn: () => take(api.GET("/studio/v1/users", { params: { query: { limit: 20, search } } })),
    placeholderData: (before) => before,
  });
  return (
    <Select
      label="Who"
      placeholder="Anybody"
      data={(data?.users ?? []).map(({ id, name, email }) => ({ value: id, label: `${name} (${email})` }))}
      filter={({ options }) => options}
      searchable
      clearable
      searchValue={typed}
      onSearchChange={setTyped}
      value={value}
      onChange={onChange}
    />
  );
}
