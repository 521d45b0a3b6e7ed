import { Button, Group, Modal, Stack, Text, TextInput } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { useMutation } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { useNavigate } from "react-router";
import { api, take } from "@/api/client";
import { queries } from "@/api/queries";
import { useProjectId } from "@/api/session";
import { Panel } from "@/components/Panel";
import { tell } from "@/components/tell";
import { Wrong } from "@/components/Wrong";

/** Asks for the name, since nothing brings a project back. */
export function DeleteProject({ name }: { name: string }) {
  const project = useProjectId();
  const navigate = useNavigate();
  const [opened, modal] = useDisclosure(false);
  const [typed, setTyped] = useState("");
  const remove = useMutation({
    meta: { quiet: true },
    mutationFn: () => take(api.DELETE("/studio/v1/projects/{project}", { params: { path: { project } } })),
    onSuccess: async () => {
      await navigate("/");
      queries.removeQueries({ queryKey: ["project", project] });
      void queries.invalidateQueries({ queryKey: ["projects"] });
      tell(`“${name}” is deleted.`);
    },
  });

  function submit(event: FormEvent): void {
    event.preventDefault();
    if (typed.trim() === name) remove.mutate();
  }

  return (
    <Panel danger title="Delete project" about="Its images, labels, history and models go for good. Nothing brings them back.">
      <Group>
        <Button color="red" variant="light" onClick={modal.open}>
          Delete project
        </Button>
      </Group>
      <Modal opened={opened} onClose={modal.close} title="Delete this project?" centered>
        <form onSubmit={submit}>
          <Stack>
            <Text size="sm">
              All images, labels, history and models of <b>{name}</b> go for good, for everybody who shares it.
            </Text>
            <TextInput
              label="Type the project's name"
              placeholder={name}
              data-autofocus
              autoComplete="off"
              value={typed}
              onChange={(event) => setTyped(event.currentTarget.value)}
            />
            <Wrong error={remove.error} />
            <Group justify="flex-end">
              <Button variant="default" onClick={modal.close}>
                Cancel
              </Button>
              <Button type="submit" color="red" loading={remove.isPending} disabled={typed.trim() !== name}>
                Delete for good
              </Button>
            </Group>
          </Stack>
        </form>
      </Modal>
    </Panel>
  );
}
