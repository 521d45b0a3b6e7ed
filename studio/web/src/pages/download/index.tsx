import { Anchor, Button, Center, Loader, Stack, Text } from "@mantine/core";
import { IconPackage, IconSparkles } from "@tabler/icons-react";
import { useEffect, useState } from "react";
import { Link, useSearchParams } from "react-router";
import { useMay, useProjectId } from "@/api/session";
import { Empty } from "@/components/Empty";
import { PageHead } from "@/components/PageHead";
import { Trouble } from "@/components/Trouble";
import { ExportCard } from "@/pages/download/ExportCard";
import { NewExport } from "@/pages/download/NewExport";
import { useExports } from "@/pages/download/useExports";
import { useModels } from "@/pages/predict/useModels";

export default function Page() {
  const project = useProjectId();
  const may = useMay("download");
  return (
    <>
      <PageHead title="Download" about="Take a model along to any Linux machine, also one without a network." />
      {may && <Exports project={project} />}
    </>
  );
}

function Exports({ project }: { project: string }) {
  const models = useModels(project);
  const made = useExports(project);
  const [search] = useSearchParams();
  const [opened, setOpened] = useState<string | null>(null);
  const newest = made.data?.find(({ state }) => state === "done")?.id;
  useEffect(() => setOpened((before) => newest ?? before), [newest]); // what has just been made, or was last

  if (models.isPending || made.isPending) {
    return (
      <Center mih={260}>
        <Loader aria-label="Loading" />
      </Center>
    );
  }
  if (models.isError) return <Trouble error={models.error} retry={() => void models.refetch()} />;
  if (made.isError) return <Trouble error={made.error} retry={() => void made.refetch()} />;
  if (!models.data.length && !made.data.length) {
    return (
      <Empty icon={IconPackage} title="No model to download yet">
        <Text c="dimmed">Train one first; then it becomes one file here, with the commands that install it elsewhere.</Text>
        <Button component={Link} to={`/p/${project}/train`} variant="light" leftSection={<IconSparkles size={16} />}>
          Train a model
        </Button>
      </Empty>
    );
  }
  const names = new Map(models.data.map(({ id, name }) => [id, name]));
  return (
    <Stack gap="lg" maw={980}>
      {models.data.length > 0 && <NewExport project={project} models={models.data} exports={made.data} first={search.get("model")} />}
      {made.data.map((job) => (
        <ExportCard
          key={job.id}
          project={project}
          job={job}
          training={names.get(job.export?.training ?? "") ?? job.name}
          opened={opened === job.id}
          onOpen={() => setOpened(job.id)}
        />
      ))}
      {!made.data.length && (
        <Text size="sm" c="dimmed">
          Nothing was exported yet. To try a model on photos first, go to <Anchor component={Link} to={`/p/${project}/predict`}>Predict</Anchor>.
        </Text>
      )}
    </Stack>
  );
}
