import { Badge, Button, Group, SegmentedControl, Skeleton, Stack, Tabs, Tooltip } from "@mantine/core";
import { IconAdjustments, IconChartLine, IconDownload, IconGridDots, IconPhotoSearch, IconReportAnalytics, IconScan, IconTagOff, IconVersions } from "@tabler/icons-react";
import { lazy, Suspense } from "react";
import { Link } from "react-router";
import { PageHead } from "@/components/PageHead";
import { Trouble } from "@/components/Trouble";
import { count } from "@/components/words";
import { Notes } from "@/pages/model/Notes";
import { SaveBar } from "@/pages/model/SaveBar";
import { SinceTrained } from "@/pages/model/SinceTrained";
import { SPLIT_ABOUT, SPLIT_WORDS, TASK_WORDS, type Split } from "@/pages/model/terms";
import { type Choice, type Looked, useFacts, useLook, useMeasured, useModelRoute, useTrial } from "@/pages/model/useModel";

const PARTS = [
  { value: "statistics", label: "Statistics", icon: IconReportAnalytics, part: lazy(() => import("@/pages/model/Statistics")) },
  { value: "thresholds", label: "Thresholds", icon: IconAdjustments, part: lazy(() => import("@/pages/model/Thresholds")) },
  { value: "confusion", label: "Confusion", icon: IconGridDots, part: lazy(() => import("@/pages/model/Confusion")), single: true },
  { value: "curves", label: "Curves", icon: IconChartLine, part: lazy(() => import("@/pages/model/Curves")) },
  { value: "predictions", label: "Predictions", icon: IconPhotoSearch, part: lazy(() => import("@/pages/model/Predictions")) },
  { value: "issues", label: "Label issues", icon: IconTagOff, part: lazy(() => import("@/pages/model/Issues")) },
  { value: "compare", label: "Compare", icon: IconVersions, part: lazy(() => import("@/pages/model/Compare")) },
];

/** How good a model is, in every way that a person asks. */
export default function Page() {
  const { project, job } = useModelRoute();
  const { choice, set } = useLook([]);
  const facts = useFacts(project, job, choice);
  if (facts.isError) return <Trouble error={facts.error} retry={() => void facts.refetch()} />;
  if (!facts.data) return <Skeleton h={400} radius="lg" />;
  return <Model key={job} facts={facts.data} onChoice={(value) => set("model", value)} />;
}

function Model({ facts, onChoice }: { facts: NonNullable<ReturnType<typeof useFacts>["data"]>; onChoice: (choice: Choice) => void }) {
  const { project, job } = useModelRoute();
  const { choice, split, tab, set } = useLook(Object.keys(facts.splits));
  const trial = useTrial(facts, choice);
  const measured = useMeasured(project, job, choice, split, trial.thresholds);
  const looked: Looked = {
    project,
    job,
    choice,
    split,
    facts,
    thresholds: trial.thresholds,
    setThresholds: trial.set,
    setThreshold: (place, value) => trial.set(trial.thresholds.map((each, other) => (other === place ? value : each))),
    measured: measured.data,
  };
  const parts = PARTS.filter((each) => !each.single || facts.task === "single_label");
  return (
    <>
      <PageHead
        title={facts.name}
        about={
          <Group gap="xs" component="span">
            <Badge variant="light">{TASK_WORDS[facts.task]}</Badge>
            {count(facts.labels.length, "label")}
            <SinceTrained project={project} job={job} />
            {facts.saved && <Badge color="teal" variant="light">Own thresholds</Badge>}
          </Group>
        }
      >
        <Button component={Link} to={`/p/${project}/predict?model=${job}`} variant="default" leftSection={<IconScan size={16} />}>
          Predict
        </Button>
        <Button component={Link} to={`/p/${project}/download?model=${job}`} variant="default" leftSection={<IconDownload size={16} />}>
          Download
        </Button>
      </PageHead>
      <Stack gap="md">
        <Group gap="md">
          <SegmentedControl
            aria-label="Images"
            value={split}
            onChange={(value) => set("split", value)}
            data={Object.entries(facts.splits).map(([name, images]) => ({
              value: name,
              label: (
                <Tooltip label={SPLIT_ABOUT[name as Split]}>
                  <span>
                    {SPLIT_WORDS[name as Split]} <small className="tabular">{images.toLocaleString("en")}</small>
                  </span>
                </Tooltip>
              ),
            }))}
          />
          <SegmentedControl
            aria-label="Model"
            value={choice}
            onChange={(value) => onChoice(value as Choice)}
            data={[
              { value: "best", label: <Tooltip label="The epoch that did best on validation images."><span>Best</span></Tooltip> },
              { value: "last", label: <Tooltip label="As it was when the training ended."><span>Last</span></Tooltip> },
            ]}
          />
        </Group>
        <Notes facts={facts} />
        <Tabs value={parts.some((each) => each.value === tab) ? tab : "statistics"} onChange={(value) => set("tab", value ?? "statistics")} keepMounted={false}>
          <Tabs.List mb="lg">
            {parts.map(({ value, label, icon: Picture }) => (
              <Tabs.Tab key={value} value={value} leftSection={<Picture size={16} />}>
                {label}
              </Tabs.Tab>
            ))}
          </Tabs.List>
          {measured.isError && <Trouble error={measured.error} retry={() => void measured.refetch()} />}
          {parts.map(({ value, part: Part }) => (
            <Tabs.Panel key={value} value={value}>
              <Suspense fallback={<Skeleton h={300} radius="lg" />}>
                <Part looked={looked} />
              </Suspense>
            </Tabs.Panel>
          ))}
        </Tabs>
      </Stack>
      {(trial.isChanged || facts.saved) && <SaveBar looked={looked} isChanged={trial.isChanged} onForget={trial.forget} />}
    </>
  );
}
