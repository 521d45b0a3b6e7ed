import { Button, Center, Group, Loader, SegmentedControl, Select, Stack, Tabs, Text } from "@mantine/core";
import { IconCode, IconPhotoScan, IconSparkles } from "@tabler/icons-react";
import { useEffect, useMemo, useState } from "react";
import { Link, useSearchParams } from "react-router";
import { queries } from "@/api/queries";
import { useMay, useProjectId } from "@/api/session";
import type { Schemas } from "@/api/client";
import { Empty } from "@/components/Empty";
import { PageHead } from "@/components/PageHead";
import { Trouble } from "@/components/Trouble";
import { ago } from "@/components/words";
import type { Choice, Thresholds } from "@/pages/predict/answers";
import { Drop } from "@/pages/predict/Drop";
import { ofImage } from "@/pages/predict/pictures";
import classes from "@/pages/predict/predict.module.css";
import { Programs } from "@/pages/predict/Programs";
import { Results } from "@/pages/predict/Results";
import { ThresholdPanel } from "@/pages/predict/ThresholdPanel";
import { useColours } from "@/pages/predict/useColours";
import { useModels, usePredictState } from "@/pages/predict/useModels";
import { usePredictions } from "@/pages/predict/usePredictions";

const ABOUT = "Try a model on photos that it has not seen.";

export default function Page() {
  const project = useProjectId();
  const models = useModels(project);
  const may = useMay("predict");
  const [search, setSearch] = useSearchParams();
  if (models.isPending) {
    return (
      <>
        <PageHead title="Predict" about={ABOUT} />
        <Center mih={260}>
          <Loader aria-label="Loading" />
        </Center>
      </>
    );
  }
  if (models.isError || !models.data.length) {
    return (
      <>
        <PageHead title="Predict" about={ABOUT} />
        {models.isError ? <Trouble error={models.error} retry={() => void models.refetch()} /> : <NoModel project={project} />}
      </>
    );
  }
  const chosen = models.data.find(({ id }) => id === search.get("model")) ?? models.data[0]!;
  return (
    <>
      <PageHead title="Predict" about={ABOUT}>
        <Select
          aria-label="Model"
          w={260}
          allowDeselect={false}
          searchable={models.data.length > 8}
          value={chosen.id}
          data={models.data.map(({ id, name, finished_at }) => ({ value: id, label: finished_at ? `${name} · ${ago(finished_at)}` : name }))}
          onChange={(id) => id && setSearch((before) => new URLSearchParams({ ...Object.fromEntries(before), model: id }), { replace: true })}
        />
      </PageHead>
      {may && <WithModel project={project} model={chosen.id} images={search.get("images")?.split(",").filter(Boolean) ?? []} />}
    </>
  );
}

function NoModel({ project }: { project: string }) {
  return (
    <Empty icon={IconPhotoScan} title="No model yet">
      <Text c="dimmed">Train one on the project&apos;s images; then drop photos here to see what it makes of them.</Text>
      <Button component={Link} to={`/p/${project}/train`} variant="light" leftSection={<IconSparkles size={16} />}>
        Train a model
      </Button>
    </Empty>
  );
}

interface Props {
  project: string;
  model: string;
  /** Images of the project that the address names. */
  images: string[];
}

function WithModel({ project, model, images }: Props) {
  const state = usePredictState(project, model);
  const colourOf = useColours(project);
  const [choice, setChoice] = useState<Choice>("best");
  const [changed, setChanged] = useState<Record<string, Thresholds>>({}); // by model and choice
  const asked = useMemo(() => ({ project, model, choice }), [project, model, choice]);
  const [first] = useState(() => images.map((image) => ofImage(project, image)));
  const predictions = usePredictions(asked, first);
  const prepared = state.data?.models.find((each) => each.choice === choice)?.readiness === "ready";
  const answered = predictions.results.size > 0;
  useEffect(() => {
    if (answered && !prepared) void queries.invalidateQueries({ queryKey: ["predict", project, model] }); // it answers, so it is ready
  }, [answered, prepared, project, model]);

  if (state.isPending) {
    return (
      <Center mih={260}>
        <Loader aria-label="Loading" />
      </Center>
    );
  }
  if (state.isError) return <Trouble error={state.error} retry={() => void state.refetch()} />;
  const own = ownOf(state.data, choice);
  const key = `${model} ${choice}`;
  const thresholds = changed[key] ?? {};
  const some = predictions.pictures.length > 0;
  return (
    <Tabs defaultValue="photos" keepMounted>
      <Tabs.List mb="md">
        <Tabs.Tab value="photos" leftSection={<IconPhotoScan size={16} />}>
          Photos
        </Tabs.Tab>
        <Tabs.Tab value="programs" leftSection={<IconCode size={16} />}>
          From a program
        </Tabs.Tab>
      </Tabs.List>
      <Tabs.Panel value="photos">
        <div className={classes.columns}>
          <Stack gap="md">
            <Drop small={some} onPictures={predictions.add} />
            {some && (
              <Results asked={asked} state={state.data} predictions={predictions} thresholds={thresholds} colourOf={colourOf} />
            )}
          </Stack>
          <Stack gap="md" className={classes.aside}>
            {state.data.models.length > 1 && (
              <Group gap="xs" wrap="nowrap">
                <SegmentedControl
                  fullWidth
                  flex={1}
                  aria-label="Which of the training's models"
                  value={choice}
                  onChange={(value) => setChoice(value)}
                  data={[
                    { value: "best", label: "Best" },
                    { value: "last", label: "Last" },
                  ]}
                />
              </Group>
            )}
            <ThresholdPanel
              task={state.data.task}
              own={own}
              changed={thresholds}
              colourOf={colourOf}
              modelAddress={`/p/${project}/models/${model}`}
              onChange={(value) => setChanged({ ...changed, [key]: value })}
            />
          </Stack>
        </div>
      </Tabs.Panel>
      <Tabs.Panel value="programs">
        <Programs state={state.data} />
      </Tabs.Panel>
    </Tabs>
  );
}

function ownOf(state: Schemas["PredictState"], choice: Choice): Schemas["LabelThreshold"][] {
  return (state.models.find((each) => each.choice === choice) ?? state.models[0])?.labels ?? [];
}
