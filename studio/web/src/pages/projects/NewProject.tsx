import { Button, Group, Modal, Stack, TextInput } from "@mantine/core";
import { useMutation } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { useNavigate } from "react-router";
import { api, take } from "@/api/client";
import { queries } from "@/api/queries";
import { Wrong } from "@/components/Wrong";

/** Asks for a name, makes the project, and goes where its images will be. */
export function NewProject({ opened, onClose }: { opened: boolean; onClose: () => void }) {
  const navigate = useNavigate();
  const [name, setName] = useState("");
  const make = useMutation({
    meta: { quiet: true },
    mutationFn: () => take(api.POST("/studio/v1/projects", { body: { name } })),
    onSuccess: (project) => {
      void queries.invalidateQueries({ queryKey: ["projects"] });
      void navigate(`/p/${project.id}/images`);
    },
  });

  function submit(event: FormEvent): void {
    event.preventDefault();
    make.mutate();
  }

  return (
    <Modal opened={opened} onClose={onClose} title="New project" centered>
      <form onSubmit={submit}>
        <Stack>
          <TextInput
            label="Name"
            description="What the photos show, for example. It can be changed later."
            placeholder="Bottles on line 3"
            required
            withAsterisk={false}
            maxLength={200}
            data-autofocus
            value={name}
            onChange={(event) => setName(event.currentTarget.value)}
          />
          <Wrong error={make.error} />
          <Group justify="flex-end">
            <Button variant="default" onClick={onClose}>
              Cancel
            </Button>
            <Button type="submit" loading={make.isPending} disabled={!name.trim()}>
              Create
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}
