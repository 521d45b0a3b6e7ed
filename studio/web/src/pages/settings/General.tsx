import { Button, Group, Stack, Text, TextInput } from "@mantine/core";
import { useMutation } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { api, take } from "@/api/client";
import { queries } from "@/api/queries";
import { useProject, useProjectId } from "@/api/session";
import { labelOf, PROJECT_ROLES } from "@/components/access";
import { Moment } from "@/components/Moment";
import { Panel } from "@/components/Panel";
import { tell } from "@/components/tell";
import { Wrong } from "@/components/Wrong";
import { DeleteProject } from "@/pages/settings/DeleteProject";

export function General() {
  const project = useProject().data;
  if (!project) return null; // its shell shows why
  const mayOwn = project.privileges.includes("own");
  return (
    <Stack gap="lg">
      <Panel
        title="Name"
        about={
          <>
            Made <Moment at={project.created_at} />
            {project.role ? `. You are its ${labelOf(PROJECT_ROLES, project.role).toLowerCase()}.` : ". You see it as an admin of the studio."}
          </>
        }
      >
        {mayOwn ? <Rename name={project.name} /> : <Text size="sm">Only an owner can rename this project, or delete it.</Text>}
      </Panel>
      {mayOwn && <DeleteProject name={project.name} />}
    </Stack>
  );
}

function Rename({ name: before }: { name: string }) {
  const project = useProjectId();
  const [name, setName] = useState(before);
  const rename = useMutation({
    meta: { quiet: true },
    mutationFn: () => take(api.PATCH("/studio/v1/projects/{project}", { params: { path: { project } }, body: { name } })),
    onSuccess: (renamed) => {
      queries.setQueryData(["project", project], renamed);
      void queries.invalidateQueries({ queryKey: ["projects"] });
      setName(renamed.name);
      tell("The project has its new name.");
    },
  });

  function submit(event: FormEvent): void {
    event.preventDefault();
    rename.mutate();
  }

  return (
    <form onSubmit={submit}>
      <Stack gap="sm">
        <Group align="flex-end" gap="sm">
          <TextInput
            label="Project name"
            flex="1 1 14rem"
            required
            withAsterisk={false}
            maxLength={200}
            value={name}
            onChange={(event) => setName(event.currentTarget.value)}
          />
          <Button type="submit" loading={rename.isPending} disabled={!name.trim() || name.trim() === before}>
            Rename
          </Button>
        </Group>
        <Wrong error={rename.error} />
      </Stack>
    </form>
  );
}
